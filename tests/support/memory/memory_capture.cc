#include "tests/support/memory/memory_capture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace ferry::test_support {
namespace {

using base::Error;
using base::ErrorKind;
using model::ChangeBatch;
using model::ChangeKind;

constexpr std::size_t kEntriesPerRead = 256;
constexpr std::string_view kSerialNote = "memory_slot_serial";

void add_image(ChangeBatch& batch, const std::optional<Row>& image) {
  if (!image) return;
  for (const Value& value : *image) batch.add_cell(value.state, value.bytes);
}

void add_row_change(ChangeBatch& batch, const LogEntry& entry) {
  auto images = static_cast<ChangeBatch::Images>((entry.before ? 1 : 0) + (entry.after ? 2 : 0));
  batch.add_row_change(entry.kind, entry.transaction, entry.subtransaction, entry.table, images);
  add_image(batch, entry.before);
  add_image(batch, entry.after);
}

Error slot_lost(const std::string& task_name, std::string_view what) {
  return {ErrorKind::kSourceSlotLost,
          {.message = fmt::format("slot {}: {}", task_name, what),
           .remedy = "Start the task anew with a full load."}};
}

}  // namespace

connector::CaptureStart MemoryCapture::prepare(const connector::CaptureScope& scope, std::stop_token stop) {
  return connection_.call("capture.prepare", stop, [&] {
    scope_ = scope;
    tables_in_scope_ = scope.known_tables;
    std::optional<std::uint64_t> from;
    if (!scope.start_position.empty()) {
      from = parse_log_position(scope.start_position);
      if (!from) {
        throw Error(ErrorKind::kDocumentInvalid,
                    Error::Parts{.message = "the start position is not one of a memory database",
                                 .remedy = "Give it in the form log/1F0."});
      }
    }
    auto slot = database_.make_slot(scope.task_name, from);
    if (!slot) throw slot_lost(scope.task_name, "the log is not kept from " + scope.start_position + " on");
    notes_.set(kSerialNote, std::to_string(slot->serial));
    if (options_.prepare_waits) wait_for_open_transactions(scope.transaction_consistency_timeout, stop);
    return connector::CaptureStart{{database_.identity()}, log_position(slot->confirmed)};
  });
}

void MemoryCapture::wait_for_open_transactions(std::chrono::milliseconds timeout, std::stop_token stop) {
  auto open = database_.wait_for_ends(database_.open_transactions(), timeout, stop);
  if (open.empty()) return;
  if (stop.stop_requested()) throw Error(ErrorKind::kStopped, "the wait for open transactions was stopped");
  throw Error(ErrorKind::kSourceTimeout,
              {.message = fmt::format("transactions {} are still open", fmt::join(open, ", ")),
               .remedy = "End them, or raise TransactionConsistencyTimeout."});
}

void MemoryCapture::verify(const connector::CaptureScope& scope, const model::Checkpoint& checkpoint,
                           std::stop_token stop) {
  connection_.call("capture.verify", stop, [&] {
    scope_ = scope;
    tables_in_scope_ = scope.known_tables;
    if (database_.identity() != checkpoint.identity.text) {
      throw Error(ErrorKind::kSourceIdentity,
                  {.message = fmt::format("the source is '{}', the checkpoint is of '{}'",
                                          database_.identity(), checkpoint.identity.text),
                   .remedy = "Start the task anew with a full load."});
    }
    auto slot = database_.find_slot(scope.task_name);
    if (!slot) throw slot_lost(scope.task_name, "it is gone");
    if (notes_.get(kSerialNote) != std::to_string(slot->serial)) {
      throw slot_lost(scope.task_name, "it is not the one that this task made");
    }
    if (!database_.keeps(log_number(checkpoint.resume_position))) {
      throw slot_lost(scope.task_name,
                      "the log is not kept from " + checkpoint.resume_position.text() + " on");
    }
  });
}

model::StreamPosition MemoryCapture::current_position(std::stop_token stop) {
  return connection_.call("capture.current_position", stop,
                          [&] { return log_position(database_.log_end()); });
}

std::vector<std::string> MemoryCapture::created() const {
  if (!database_.find_slot(scope_.task_name)) return {};
  return {"log slot " + scope_.task_name};
}

void MemoryCapture::start(const model::StreamPosition& from, std::stop_token stop) {
  connection_.call("capture.start", stop, [&] {
    start_ = log_number(from);
    if (!database_.keeps(start_))
      throw slot_lost(scope_.task_name, "the log is not kept from " + from.text() + " on");
    read_to_ = 0;
    left_out_ = database_.ended_by(start_);
    announce_unknown_tables();
    last_contact_ = database_.clock().steady_now();
  });
}

// The log holds every table's changes, so one that the task does not have is told of as soon as the stream
// starts.
void MemoryCapture::announce_unknown_tables() {
  for (const auto& listed : database_.list()) {
    auto shape = database_.describe(listed.name);
    if (!shape || listed.kind != connector::TableKind::kTable || !scope_.selects ||
        !scope_.selects(listed.name))
      continue;
    bool named = std::ranges::find(scope_.tables, listed.name) != scope_.tables.end();
    bool known = scope_.known_tables.empty() ? named : scope_.known_tables.contains(shape->source_table);
    if (known) continue;
    tables_in_scope_.insert(shape->source_table);
    ready_.push_back({{.kind = ChangeKind::kSchemaChange, .table = std::move(shape)}, std::nullopt});
  }
}

void MemoryCapture::next(ChangeBatch& batch, std::size_t bytes_max, std::chrono::milliseconds wait,
                         std::stop_token stop) {
  auto until = std::chrono::steady_clock::now() + std::min(wait, options_.idle_wait_max);
  connection_.call("capture.next", stop, [&] {
    meet_deadline();
    send_acknowledgement();
    while (batch.bytes() < bytes_max) {
      connection_.require("capture.next");
      if (ready_.empty()) read_log();
      if (!ready_.empty()) {
        if (ready_.front().stamp) {
          batch.add_commit(ready_.front().entry.transaction, *ready_.front().stamp);
        } else {
          yield(ready_.front().entry, batch);
        }
        ready_.pop_front();
        continue;
      }
      auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      if (!batch.empty() || left.count() <= 0 || stop.stop_requested()) break;
      database_.wait_for_log(read_to_, left, stop);
    }
    if (batch.empty() && !stop.stop_requested()) {
      auto now = database_.clock().steady_now();
      if (!last_heartbeat_ || now - *last_heartbeat_ >= options_.heartbeat_interval) {
        last_heartbeat_ = now;
        batch.add_heartbeat(stamp_at(0, std::max(read_to_, start_), database_.clock().now()));
      }
    }
    last_contact_ = database_.clock().steady_now();
  });
}

void MemoryCapture::keep_alive() {
  connection_.call("capture.keep_alive", {}, [&] {
    meet_deadline();
    send_acknowledgement();
    last_contact_ = database_.clock().steady_now();
  });
}

void MemoryCapture::meet_deadline() {
  if (options_.idle_timeout.count() == 0) return;
  if (database_.clock().steady_now() - last_contact_ <= options_.idle_timeout) return;
  throw Error(ErrorKind::kSourceConnectionLost, "the source cut a capture that kept silent");
}

void MemoryCapture::acknowledge(const model::StreamPosition& position) {
  std::lock_guard lock(acknowledged_mutex_);
  acknowledged_ = std::max(acknowledged_, log_number(position));
}

void MemoryCapture::send_acknowledgement() {
  std::lock_guard lock(acknowledged_mutex_);
  if (acknowledged_ > 0) database_.confirm(scope_.task_name, acknowledged_);
}

std::vector<std::string> MemoryCapture::clean(const connector::CaptureScope& scope, std::stop_token stop) {
  return connection_.call("capture.clean", stop, [&] {
    std::vector<std::string> removed;
    if (database_.drop_slot(scope.task_name)) removed.push_back("log slot " + scope.task_name);
    return removed;
  });
}

void MemoryCapture::read_log() {
  if (!database_.keeps(std::max(read_to_, start_))) {
    throw slot_lost(scope_.task_name, "the log was forgotten before it was read");
  }
  while (ready_.empty()) {
    auto entries = database_.read_log(read_to_, kEntriesPerRead);
    if (entries.empty()) return;
    for (LogEntry& entry : entries) {
      read_to_ = entry.number + (entry.kind == ChangeKind::kCommit ? kLogStep / 2 : 0);
      take(std::move(entry));
    }
  }
}

void MemoryCapture::take(LogEntry entry) {
  bool begins = entry.kind == ChangeKind::kBegin;
  if (begins) open_since_[entry.transaction] = entry.number;
  bool commits = entry.kind == ChangeKind::kCommit;
  bool ends = commits || (entry.kind == ChangeKind::kRollback && entry.transaction == entry.subtransaction);
  if (ends) open_since_.erase(entry.transaction);
  if (left_out_.contains(entry.transaction)) return;

  bool frames = begins || entry.kind == ChangeKind::kRollback;
  if (!frames && !commits && !in_scope(entry)) return;
  if (options_.order == CaptureOrder::kCommitOrder) return assemble(entry);
  std::optional<model::TransactionStamp> stamp;
  if (commits) stamp = stamp_at(entry.transaction, entry.number, entry.time);
  ready_.push_back({std::move(entry), std::move(stamp)});
}

void MemoryCapture::assemble(const LogEntry& entry) {
  auto& changes = assembling_[entry.transaction];
  if (entry.kind == ChangeKind::kRollback && entry.transaction == entry.subtransaction) {
    assembling_.erase(entry.transaction);
    return;
  }
  if (entry.kind == ChangeKind::kRollback) {
    std::erase_if(changes,
                  [&](const LogEntry& change) { return change.subtransaction == entry.subtransaction; });
    return;
  }
  if (entry.kind != ChangeKind::kCommit) {
    changes.push_back(entry);
    return;
  }
  for (LogEntry& change : changes) ready_.push_back({std::move(change), std::nullopt});
  ready_.push_back({entry, stamp_at(entry.transaction, entry.number, entry.time)});
  assembling_.erase(entry.transaction);
}

bool MemoryCapture::in_scope(const LogEntry& entry) {
  const model::TableVersion& table = *entry.table;
  bool named = std::ranges::find(scope_.tables, table.name) != scope_.tables.end();
  if (named || (scope_.selects && scope_.selects(table.name))) tables_in_scope_.insert(table.source_table);
  return tables_in_scope_.contains(table.source_table);
}

void MemoryCapture::yield(const LogEntry& entry, ChangeBatch& batch) {
  switch (entry.kind) {
    case ChangeKind::kBegin: return batch.add_begin(entry.transaction);
    case ChangeKind::kRollback: return batch.add_rollback(entry.transaction, entry.subtransaction);
    case ChangeKind::kInsert:
    case ChangeKind::kUpdate:
    case ChangeKind::kDelete: return add_row_change(batch, entry);
    default: return batch.add_table_change(entry.kind, entry.transaction, entry.subtransaction, entry.table);
  }
}

model::TransactionStamp MemoryCapture::stamp_at(std::uint64_t transaction, std::uint64_t commit,
                                                base::UnixMicros time) const {
  return {.id = transaction,
          .commit_position = log_position(commit),
          .resume_position = log_position(resume_number(transaction == 0 ? commit : commit + kLogStep / 2)),
          .commit_time = time};
}

std::uint64_t MemoryCapture::resume_number(std::uint64_t after) const {
  std::uint64_t number = after;
  if (options_.resume_at == ResumeAt::kCommit) return number;
  for (const auto& [transaction, since] : open_since_) number = std::min(number, since);
  // Never before what the slot was made from: an open transaction may be older.
  return std::max(number, start_);
}

}  // namespace ferry::test_support
