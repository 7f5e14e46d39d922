#include "tests/support/memory/memory_apply_tables.h"

namespace ferry::test_support {

using model::ChangeKind;

std::optional<model::Checkpoint> MemoryApplyTables::recover(const model::Checkpoint& local) {
  return parts_.faults.run("apply.recover", {}, [&]() -> std::optional<model::Checkpoint> {
    durable_ = local;
    auto own = parts_.storage.checkpoint();
    bool of_this_stream =
        own && own->identity == local.identity && own->applied_through >= local.applied_through;
    if (!of_this_stream) return std::nullopt;
    durable_ = *own;
    return own;
  });
}

void MemoryApplyTables::apply(model::Transaction& transaction, const model::Checkpoint& after,
                              model::RowErrorSink& errors) {
  parts_.faults.run("apply.apply", {}, [&] {
    if (transaction.stamp().commit_position <= durable_.applied_through) return;
    for (model::Change change; transaction.next(change);) {
      RowChange made = row_change_of(change);
      auto report = [&](model::RowError error) { errors.row_error(error); };
      std::string key =
          made.after.empty() && made.before.empty() ? "" : printed_key(*made.table, subject_of(made));
      if (auto refusal = refusal_of(parts_, *made.table, made.after, key)) {
        report(*refusal);
        continue;
      }
      table_to_try(made);
      if (auto wrong = make(tried_, made)) {
        report({made.table->name, key, "", *wrong});
        continue;
      }
      pending_.push_back(std::move(made));
    }
    accept(after);
    if (++transactions_ >= parts_.options.transactions_max) commit();
  });
}

MemoryTable* MemoryApplyTables::table_to_try(const RowChange& change) {
  const model::TableName& name = change.table->name;
  auto found = tried_.find(name);
  if (found != tried_.end()) return &found->second;
  auto copy = parts_.storage.copy_of(name);
  return copy ? &tried_.emplace(name, std::move(*copy)).first->second : nullptr;
}

std::optional<std::string> MemoryApplyTables::make(Tables& tables, const RowChange& change) const {
  auto found = tables.try_emplace(change.table->name, change.table).first;
  MemoryTable& table = found->second;
  switch (change.kind) {
    case ChangeKind::kSchemaChange: table.set_shape(change.table); return std::nullopt;
    case ChangeKind::kTruncate:
      if (request_.remove_on_truncate) table.clear();
      return std::nullopt;
    case ChangeKind::kDrop:
      if (request_.remove_on_drop) tables.erase(found);
      return std::nullopt;
    default: return table.apply(change);
  }
}

void MemoryApplyTables::advance(const model::Checkpoint& after) {
  parts_.faults.run("apply.advance", {}, [&] { accept(after); });
}

void MemoryApplyTables::accept(const model::Checkpoint& after) {
  if (!accepted_) accepted_since_ = parts_.clock.steady_now();
  accepted_ = after;
}

void MemoryApplyTables::tick() {
  parts_.faults.run("apply.tick", {}, [&] {
    if (accepted_ && parts_.clock.steady_now() - accepted_since_ >= parts_.options.interval) commit();
  });
}

void MemoryApplyTables::flush() {
  parts_.faults.run("apply.flush", {}, [&] { commit(); });
}

void MemoryApplyTables::commit() {
  if (!accepted_) return;
  parts_.storage.commit(*accepted_, [&](Tables& tables) {
    for (const RowChange& change : pending_) make(tables, change);
  });
  durable_ = *accepted_;
  accepted_.reset();
  transactions_ = 0;
  pending_.clear();
  tried_.clear();
}

}  // namespace ferry::test_support
