#include "engine/cdc/change_router.h"

#include <fmt/format.h>

#include "base/log.h"
#include "engine/tables_manager.h"

namespace ferry::engine {

using model::Change;
using model::ChangeKind;
using model::Coverage;

class ChangeRouter::RoutedTransaction final : public model::Transaction {
 public:
  RoutedTransaction(ChangeRouter& router, model::Transaction& transaction)
      : router_(router), transaction_(transaction) {}

  const model::TransactionStamp& stamp() const override { return transaction_.stamp(); }

  bool next(Change& change) override {
    while (transaction_.next(change)) {
      if (router_.wants(stamp(), change)) return true;
    }
    return false;
  }

 private:
  ChangeRouter& router_;
  model::Transaction& transaction_;
};

ChangeRouter::ChangeRouter(const TaskContext& context) : context_(context) {
  for (const TableState& state : context.state.tables()) {
    Table& table = tables_[state.source];
    table.carried = state.phase == TablePhase::kLoaded;
    if (!state.mark.empty()) table.mark = context.source.parse_mark(state.mark);
    table.target = state.target;
    table.statistics = &statistics_[state.source];
  }
}

std::unique_ptr<model::Transaction> ChangeRouter::route(model::Transaction& transaction) {
  ++transactions_;
  context_.row_errors.begin_transaction(transaction.stamp().commit_position);
  return std::make_unique<RoutedTransaction>(*this, transaction);
}

ChangeRouter::Table& ChangeRouter::table_of(const model::TableVersionPtr& version) {
  auto found = by_version_.find(version);
  if (found != by_version_.end()) return *found->second;
  auto [at, is_new] = tables_.try_emplace(version->name);
  if (is_new && context_.mapping.selects(version->name, model::TableKind::kTable)) {
    base::log_warning(base::kTablesManager, "table {} is not part of the task; its changes are left out",
                      model::to_string(version->name));
  }
  by_version_.emplace(version, &at->second);
  return at->second;
}

void ChangeRouter::suspend(const model::TableName& source, Table& table) {
  table.carried = false;
  for (TableState& state : context_.state.tables()) {
    if (state.source != source) continue;
    suspend_table(context_, std::move(state), context_.row_errors.suspension_reason(table.target));
    return;
  }
}

void ChangeRouter::store_suspensions() {
  for (auto& [source, table] : tables_) {
    if (table.carried && context_.row_errors.is_suspended(table.target)) suspend(source, table);
  }
}

bool ChangeRouter::wants(const model::TransactionStamp& stamp, const Change& change) {
  if (change.table == nullptr) return false;
  Table& table = table_of(*change.table);
  if (!table.carried) return false;
  if (table.mark && stamp.id != 0) {
    Coverage coverage = table.mark->covers(stamp);
    if (coverage == Coverage::kInCopy) return false;
    if (coverage == Coverage::kAlwaysAfter) table.mark.reset();
  }
  if (context_.row_errors.is_suspended(table.target)) {
    suspend((*change.table)->name, table);
    return false;
  }
  // Counted as the target counts (connector::ChangePoint).
  if (table.transaction != transactions_) {
    table.transaction = transactions_;
    table.changes = 0;
  }
  context_.row_errors.begin_change(table.changes);
  if (change.kind != ChangeKind::kSchemaChange) ++table.changes;
  switch (change.kind) {
    case ChangeKind::kInsert: ++table.statistics->inserts; break;
    case ChangeKind::kUpdate: ++table.statistics->updates; break;
    case ChangeKind::kDelete: ++table.statistics->deletes; break;
    case ChangeKind::kSchemaChange: {
      // The first one after a start only says what the table is like.
      bool first = table.shape == nullptr;
      if (!first && table.shape->columns != (*change.table)->columns) ++table.statistics->ddls;
      table.shape = *change.table;
      return true;
    }
    default: ++table.statistics->ddls; return true;
  }
  ++rows_;
  return true;
}

}  // namespace ferry::engine
