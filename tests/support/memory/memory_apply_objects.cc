#include "tests/support/memory/memory_apply_objects.h"

#include <fmt/format.h>

#include <algorithm>

namespace ferry::test_support {

using connector::ChangePoint;
using connector::ObjectPhase;
using connector::ObjectRecord;
using model::ChangeKind;

std::optional<model::Checkpoint> MemoryApplyObjects::recover(const model::Checkpoint& local) {
  return parts_.faults.run("apply.recover", {}, [&]() -> std::optional<model::Checkpoint> {
    durable_ = local;
    // The journal knows tables one by one, so what a killed run left is finished at a table's first change.
    return std::nullopt;
  });
}

MemoryApplyObjects::TableStream& MemoryApplyObjects::stream_of(const model::TableName& table) {
  auto [found, made] = streams_.try_emplace(table);
  TableStream& stream = found->second;
  if (!made) return stream;
  auto last = parts_.journal.last_changes(table);
  if (!last) return stream;
  bool written = last->done || parts_.storage.has_complete_object(last->key);
  if (written && !last->done) parts_.journal.done(table, last->key);
  if (written) {
    stream.has_written = true;
    stream.written_through = last->last;
  } else {
    stream.intent = last;
  }
  return stream;
}

void MemoryApplyObjects::apply(model::Transaction& transaction, const model::Checkpoint& after,
                               model::RowErrorSink& errors) {
  parts_.faults.run("apply.apply", {}, [&] {
    std::map<model::TableName, std::uint64_t> ordinals;
    for (model::Change change; transaction.next(change);) {
      const model::TableName& table = (*change.table)->name;
      take(stream_of(table), change, {transaction.stamp().commit_position, ordinals[table]}, errors);
      // A change of shape has the number of the change after it.
      if (change.kind != ChangeKind::kSchemaChange) ++ordinals[table];
    }
    accept(after);
  });
}

void MemoryApplyObjects::take(TableStream& stream, const model::Change& change, const ChangePoint& point,
                              model::RowErrorSink& errors) {
  bool before_intent = stream.intent && point < stream.intent->first;
  if (before_intent || (stream.has_written && point <= stream.written_through)) return;
  switch (change.kind) {
    case ChangeKind::kTruncate:
      if (request_.remove_on_truncate) remove_before(stream, (*change.table)->name, point);
      return;
    case ChangeKind::kDrop:
      if (request_.remove_on_drop) remove_before(stream, (*change.table)->name, point);
      return;
    case ChangeKind::kSchemaChange: return;  // Its rows bring the shape.
    default: return take_row(stream, row_change_of(change), point, errors);
  }
}

void MemoryApplyObjects::take_row(TableStream& stream, RowChange change, const ChangePoint& point,
                                  model::RowErrorSink& errors) {
  if (auto refusal =
          refusal_of(parts_, *change.table, change.after, printed_key(*change.table, subject_of(change)))) {
    errors.row_error(*refusal);
    return;
  }
  // An object has one shape; the same one announced anew is no reason to cut.
  if (!stream.waiting.empty() && *stream.waiting.front().change.table != *change.table) cut(stream);
  if (stream.waiting.empty()) {
    stream.waiting_since = parts_.clock.steady_now();
    stream.waiting_since_number = next_number_;
  }
  stream.waiting_bytes += bytes_of(change.before) + bytes_of(change.after);
  stream.waiting.push_back({std::move(change), point});
  std::int64_t bytes = 0;
  for (const auto& [table, other] : streams_) bytes += other.waiting_bytes;
  if (request_.memory_bytes_max > 0 && bytes > request_.memory_bytes_max) return cut_all();
  bool full =
      stream.intent ? point >= stream.intent->last : stream.waiting.size() >= parts_.options.object_rows_max;
  if (full) cut(stream);
}

void MemoryApplyObjects::remove_before(TableStream& stream, const model::TableName& table,
                                       const ChangePoint& point) {
  stream.waiting.clear();
  stream.waiting_bytes = 0;
  stream.intent.reset();
  for (const ObjectRecord& object : parts_.journal.objects(table)) {
    if (object.phase == ObjectPhase::kChanges && object.last >= point) continue;
    parts_.storage.remove_object(object.key);
    parts_.journal.forget(table, object.key);
  }
}

void MemoryApplyObjects::cut(TableStream& stream) {
  if (stream.waiting.empty()) return;
  const model::TableName& table = stream.waiting.front().change.table->name;
  const ChangePoint& first = stream.waiting.front().point;
  const ChangePoint& last = stream.waiting.back().point;
  std::string key = stream.intent ? stream.intent->key
                                  : fmt::format("{}changes-{}-{:06}{}", MemoryStorage::folder_of(table),
                                                first.commit.text(), first.ordinal, MemoryStorage::kOwnForm);
  parts_.journal.intend({.table = table,
                         .phase = ObjectPhase::kChanges,
                         .key = key,
                         .first = first,
                         .last = last,
                         .rows = static_cast<std::int64_t>(stream.waiting.size())});
  parts_.faults.run("apply.write_object", {}, [&] {
    parts_.storage.put_object(key, {.phase = ObjectPhase::kChanges, .rows = stream.waiting});
    parts_.storage.complete_object(key);
  });
  parts_.journal.done(table, key);
  stream.has_written = true;
  stream.written_through = last;
  stream.intent.reset();
  stream.waiting.clear();
  stream.waiting_bytes = 0;
}

void MemoryApplyObjects::cut_all() {
  for (auto& [table, stream] : streams_) cut(stream);
}

void MemoryApplyObjects::accept(const model::Checkpoint& after) {
  accepted_.push_back({next_number_++, after});
  move_durable();
}

void MemoryApplyObjects::advance(const model::Checkpoint& after) {
  parts_.faults.run("apply.advance", {}, [&] { accept(after); });
}

void MemoryApplyObjects::tick() {
  parts_.faults.run("apply.tick", {}, [&] {
    auto now = parts_.clock.steady_now();
    for (auto& [table, stream] : streams_) {
      if (!stream.waiting.empty() && now - stream.waiting_since >= parts_.options.interval) cut(stream);
    }
    move_durable();
  });
}

void MemoryApplyObjects::flush() {
  parts_.faults.run("apply.flush", {}, [&] {
    cut_all();
    move_durable();
  });
}

void MemoryApplyObjects::move_durable() {
  std::uint64_t first_waiting = next_number_;
  for (const auto& [table, stream] : streams_) {
    if (!stream.waiting.empty()) first_waiting = std::min(first_waiting, stream.waiting_since_number);
  }
  while (!accepted_.empty() && accepted_.front().number < first_waiting) {
    durable_ = accepted_.front().after;
    accepted_.pop_front();
  }
}

}  // namespace ferry::test_support
