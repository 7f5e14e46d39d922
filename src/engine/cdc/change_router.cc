#include "engine/cdc/change_router.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/failpoint.h"
#include "base/log.h"
#include "engine/cdc/frozen_shapes.h"
#include "engine/cdc/known_shapes.h"
#include "engine/table_shape_text.h"
#include "engine/tables_manager.h"

namespace ferry::engine {
namespace {

using model::Change;
using model::ChangeKind;
using model::Coverage;

}  // namespace

class ChangeRouter::RoutedTransaction final : public model::Transaction {
 public:
  RoutedTransaction(ChangeRouter& router, model::Transaction& transaction)
      : router_(router), transaction_(transaction) {}

  const model::TransactionStamp& stamp() const override { return transaction_.stamp(); }

  bool next(Change& change) override {
    router_.count_last();
    while (transaction_.next(change)) {
      if (router_.wants(stamp(), change)) return true;
    }
    return false;
  }

 private:
  ChangeRouter& router_;
  model::Transaction& transaction_;
};

ChangeRouter::ChangeRouter(const TaskContext& context)
    : context_(context),
      keeps_shapes_(keeps_shapes(context.definition.settings)),
      counts_(context.state.change_counts()),
      stored_counts_(counts_),
      counted_through_(context.state.changes_counted_through()),
      suspensions_(context.row_errors.suspensions()) {
  for (TableState& state : context.state.tables()) add(std::move(state));
}

ChangeRouter::Table& ChangeRouter::add(TableState state) {
  Table& table = tables_[{state.source_number, state.source}];
  table = {.state = std::move(state)};
  TablePhase phase = table.state.phase;
  table.carried = phase == TablePhase::kLoaded || phase == TablePhase::kDropped;
  table.waits = phase == TablePhase::kQueued || phase == TablePhase::kLoading;
  table.left = phase == TablePhase::kLeft;
  table.holds_name = !table.state.last_shape.empty();
  if (!table.state.mark.empty()) table.mark = context_.source.parse_mark(table.state.mark);
  if (!table.state.last_shape.empty())
    table.shape = std::make_shared<model::TableVersion>(parse_shape(table.state.last_shape));
  table.suspended = context_.row_errors.is_suspended(table.state.target);
  table.ordinals = &ordinals_[table.state.target];
  table.counts = &counts_[table.state.source];
  if (table.waits) waiting_.push_back(&table);
  return table;
}

std::unique_ptr<model::Transaction> ChangeRouter::route(model::Transaction& transaction) {
  ++transactions_;
  row_in_hand_ = false;
  const model::StreamPosition& commit = transaction.stamp().commit_position;
  is_counted_ = !commit.empty() && commit <= counted_through_;
  context_.row_errors.begin_transaction(commit);
  return std::make_unique<RoutedTransaction>(*this, transaction);
}

ChangeRouter::Table& ChangeRouter::table_of(const model::TransactionStamp& stamp, const Change& change) {
  auto found = by_version_.find(*change.table);
  if (found != by_version_.end() && !found->second->left) return *found->second;
  const model::TableVersion& version = **change.table;
  // A table that goes before it was ever heard of is no new one.
  bool goes = change.kind == ChangeKind::kDrop;
  if (goes && !tables_.contains({version.source_table, version.name}) &&
      !tables_.contains({0, version.name})) {
    return ignored_;
  }
  Table& table = find_or_make(stamp, version);
  if (&table != &ignored_) by_version_.insert_or_assign(*change.table, &table);
  return table;
}

ChangeRouter::Table& ChangeRouter::find_or_make(const model::TransactionStamp& stamp,
                                                const model::TableVersion& version) {
  auto found = tables_.find({version.source_table, version.name});
  if (found != tables_.end() && !found->second.left) return found->second;
  if (found == tables_.end() && version.source_table != 0) {
    // A state of an older version knows no numbers.
    if (auto unnumbered = tables_.extract({0, version.name})) {
      context_.state.remove_table(unnumbered.mapped().state);
      unnumbered.key().first = unnumbered.mapped().state.source_number = version.source_table;
      context_.state.set_table(unnumbered.mapped().state);
      return tables_.insert(std::move(unnumbered)).position->second;
    }
  }
  if (Table* only = version.source_table == 0 ? only_table_of(version.name) : nullptr) return *only;
  const Table* known = nullptr;
  bool has_left = false;
  for (const auto& [key, table] : tables_) {
    if (version.source_table == 0 || key.first != version.source_table || table.ordinals == nullptr) continue;
    has_left |= table.left;
    if (!table.waits && (known == nullptr || !table.carried)) known = &table;
  }
  if (!context_.mapping.selects(version.name, model::TableKind::kTable)) {
    if (known != nullptr) leave(stamp, version);
    return tables_[{version.source_table, version.name}];
  }
  if (known != nullptr && !has_left) return follow(*known, version);
  // One that comes back at once is new when it is stored that it has left.
  bool is_leaving = std::ranges::any_of(leaving_, [&](const auto& leaving) {
    return leaving.first->state.source_number == version.source_table;
  });
  if (is_leaving) return ignored_;
  // Rows of two tables in one would be nobody's.
  model::TableName target = target_name(context_, version.name);
  auto other = std::ranges::find_if(tables_, [&](const auto& entry) {
    const TableState& state = entry.second.state;
    bool is_there = entry.second.carried || entry.second.waits;
    return is_there && state.target == target && state.source != version.name;
  });
  if (other != tables_.end()) {
    base::log_warning(base::kTablesManager,
                      "table {} is new and left out: on the target it would be {}, which {} is already",
                      model::to_string(version.name), model::to_string(target),
                      model::to_string(other->second.state.source));
    return tables_[{version.source_table, version.name}];
  }
  return appear(stamp, version);
}

void ChangeRouter::store(const TableState& state) {
  base::failpoint("before_table_change");
  context_.state.set_table(state);
  base::failpoint("after_table_change");
}

// The task's one table of the name, for changes of which the source does not know the number any more; null
// where there is none, or several.
ChangeRouter::Table* ChangeRouter::only_table_of(const model::TableName& name) {
  Table* only = nullptr;
  for (auto& [key, table] : tables_) {
    if (key.second != name || table.ordinals == nullptr || table.left) continue;
    if (only != nullptr) return nullptr;
    only = &table;
  }
  return only;
}

// A table that the task does not have: its rows are copied in the next pause.
ChangeRouter::Table& ChangeRouter::appear(const model::TransactionStamp& stamp,
                                          const model::TableVersion& version) {
  TableState state{.source = version.name,
                   .source_number = version.source_table,
                   .target = target_name(context_, version.name),
                   .phase = TablePhase::kQueued};
  bool has_predecessor = std::ranges::any_of(tables_, [&](const auto& entry) {
    return entry.second.ordinals != nullptr && entry.second.state.target == state.target;
  });
  bool loads = model::has_full_load(context_.definition.migration_type);
  state.copy_as = loads && !has_predecessor ? CopyAs::kLoad : CopyAs::kInserts;
  // Found between transactions it has no place in the log; the copy then looks for one (copy_tables()).
  if (has_predecessor && stamp.id != 0) state.copy_after = stamp.resume_position;
  base::log_info(base::kTablesManager, "table {} is new: its rows are copied {}",
                 model::to_string(version.name), state.copy_as == CopyAs::kLoad ? "by a load" : "as inserts");
  store(state);
  if (!noticed_at_) noticed_at_ = context_.clock.steady_now();
  Table& table = add(std::move(state));
  ++counts_of(table).ddls;
  return table;
}

// A table of the task under another name. Nothing is copied: what it has on the target stays under the old
// name.
ChangeRouter::Table& ChangeRouter::follow(const Table& known, const model::TableVersion& version) {
  base::log_info(base::kTablesManager, "table {} is called {} now: its changes go there from here on",
                 model::to_string(known.state.source), model::to_string(version.name));
  TableState state = known.state;
  state.source = version.name;
  state.target = target_name(context_, version.name);
  if (state.phase == TablePhase::kDropped) state.phase = TablePhase::kLoaded;
  // The old name has it until the checkpoint has come here.
  state.last_shape.clear();
  store(state);
  model::TableVersionPtr shape = known.shape;
  Table& table = add(std::move(state));
  table.shape = std::move(shape);
  ++counts_of(table).ddls;
  return table;
}

void ChangeRouter::leave(const model::TransactionStamp& stamp, const model::TableVersion& version) {
  // Seen between transactions it has no place in the log: changes under the old name may still come.
  if (stamp.id == 0) return;
  for (auto& [key, table] : tables_) {
    if (key.first != version.source_table || !table.carried) continue;
    base::log_warning(base::kTablesManager,
                      "table {} is called {} now, which no selection rule selects: it leaves the task",
                      model::to_string(table.state.source), model::to_string(version.name));
    table.carried = false;
    table.left = true;
    ++counts_of(table).ddls;
    leaving_.emplace_back(&table, stamp.resume_position);
  }
}

void ChangeRouter::skip(const model::TransactionStamp& stamp, Table& table) {
  if (stamp.id == 0 || table.skipped_in == transactions_) return;
  table.skipped_in = transactions_;
  context_.state.skip_transaction(table.state, stamp);
}

// A shape is said again at each start, by each transaction that is sent in pieces, and wherever the stream is
// not sure. Said between transactions it has no place in the log.
void ChangeRouter::take_shape(const model::TransactionStamp& stamp, Table& table,
                              const model::TableVersionPtr& shape) {
  if (stamp.id == 0) return;
  bool is_same = table.shape != nullptr && table.shape->columns == shape->columns &&
                 table.shape->key == shape->key && table.shape->identity == shape->identity;
  if (is_same && table.holds_name) return;
  if (!is_same && table.shape != nullptr && table.carried) ++counts_of(table).ddls;
  table.shape = shape;
  for (auto& [key, other] : tables_) {
    if (key.first == shape->source_table || key.second == shape->name) other.holds_name = false;
  }
  table.holds_name = true;
  said_shapes_.push_back({&table, shape, stamp.resume_position});
}

void ChangeRouter::drop(const model::TransactionStamp& stamp, Table& table) {
  if (table.state.phase != TablePhase::kLoaded) return;
  table.state.phase = TablePhase::kDropped;
  store(table.state);
  if (stamp.id != 0) said_shapes_.push_back({&table, nullptr, stamp.resume_position});
}

// Into what is stored with the checkpoint.
void ChangeRouter::keep_shape(Table& table, const model::TableVersionPtr& shape,
                              std::vector<TableState>& stored) {
  table.state.last_shape = shape ? shape_text(*shape) : std::string();
  stored.push_back(table.state);
  if (!shape) return;
  for (auto& [key, other] : tables_) {
    if (&other == &table || other.state.last_shape.empty()) continue;
    if (!are_rivals(other.state, table.state)) continue;
    other.state.last_shape.clear();
    stored.push_back(other.state);
  }
}

void ChangeRouter::look_for_suspensions() {
  suspensions_ = context_.row_errors.suspensions();
  for (auto& [key, table] : tables_) table.suspended = context_.row_errors.is_suspended(table.state.target);
}

void ChangeRouter::suspend(Table& table) {
  table.carried = false;
  table.state.phase = TablePhase::kError;
  base::failpoint("before_table_change");
  suspend_table(context_, table.state, context_.row_errors.suspension_reason(table.state.target));
  base::failpoint("after_table_change");
}

void ChangeRouter::store_suspensions() {
  for (auto& [key, table] : tables_) {
    if (table.carried && context_.row_errors.is_suspended(table.state.target)) suspend(table);
  }
}

ChangeProgress ChangeRouter::progress(const model::Checkpoint& durable, const model::Checkpoint& accepted) {
  store_suspensions();
  ChangeProgress progress;
  for (const auto& [source, counts] : counts_) {
    ChangeCounts& stored = stored_counts_[source];
    if (stored != counts) progress.counts[source] = stored = counts;
  }
  // In front of it where a transaction that was counted before has not come again yet.
  counted_through_ = std::max(counted_through_, accepted.applied_through);
  progress.counted_through = counted_through_;
  std::erase_if(said_shapes_, [&](const SaidShape& said) {
    if (durable.resume_position < said.position) return false;
    keep_shape(*said.table, said.shape, progress.tables);
    return true;
  });
  std::erase_if(leaving_, [&](auto& leaving) {
    if (durable.resume_position < leaving.second) return false;
    leaving.first->state.phase = TablePhase::kLeft;
    progress.tables.push_back(leaving.first->state);
    return true;
  });
  return progress;
}

bool ChangeRouter::wants_pause(std::chrono::steady_clock::time_point now,
                               const model::Checkpoint& stored) const {
  return std::ranges::any_of(waiting_, [&](const Table* table) {
    const model::StreamPosition& after = table->state.copy_after;
    if (!after.empty()) return stored.resume_position >= after;
    return noticed_at_ && now >= *noticed_at_ + context_.gather_interval;
  });
}

bool ChangeRouter::wants_flush(const model::Checkpoint& accepted, const model::Checkpoint& stored) const {
  return std::ranges::any_of(waiting_, [&](const Table* table) {
    const model::StreamPosition& after = table->state.copy_after;
    return !after.empty() && accepted.resume_position >= after && stored.resume_position < after;
  });
}

bool ChangeRouter::wants(const model::TransactionStamp& stamp, const Change& change) {
  if (change.table == nullptr) return false;
  Table& table = table_of(stamp, change);
  if (table.waits) {
    if (change.kind == ChangeKind::kSchemaChange) take_shape(stamp, table, *change.table);
    skip(stamp, table);
    return false;
  }
  if (!table.carried) {
    if (table.ordinals != nullptr && !table.left && change.kind == ChangeKind::kSchemaChange)
      take_shape(stamp, table, *change.table);
    return false;
  }
  if (table.mark && stamp.id != 0) {
    Coverage coverage = table.mark->covers(stamp);
    if (coverage == Coverage::kInCopy) return false;
    if (coverage == Coverage::kAlwaysAfter) table.mark.reset();
  }
  if (context_.row_errors.suspensions() != suspensions_) look_for_suspensions();
  if (table.suspended) {
    suspend(table);
    return false;
  }
  if (keeps_shapes_ && table.state.shape.empty()) {
    table.state.shape = shape_text(**change.table);
    store(table.state);
  }
  if (table.ordinals->transaction != transactions_)
    *table.ordinals = {.transaction = transactions_, .changes = 0};
  context_.row_errors.begin_change(table.ordinals->changes, change.kind);
  if (change.kind != ChangeKind::kSchemaChange) ++table.ordinals->changes;
  switch (change.kind) {
    case ChangeKind::kInsert: ++counts_of(table).inserts; break;
    case ChangeKind::kUpdate: ++counts_of(table).updates; break;
    case ChangeKind::kDelete: ++counts_of(table).deletes; break;
    case ChangeKind::kSchemaChange: take_shape(stamp, table, *change.table); return true;
    case ChangeKind::kDrop: drop(stamp, table); [[fallthrough]];
    default: ++counts_of(table).ddls; return true;
  }
  row_in_hand_ = true;
  return true;
}

// Only now it is known whether the target has refused the row: then it is a row error and nothing else.
void ChangeRouter::count_last() {
  if (!std::exchange(row_in_hand_, false) || context_.row_errors.change_is_refused()) return;
  ++rows_;
}

}  // namespace ferry::engine
