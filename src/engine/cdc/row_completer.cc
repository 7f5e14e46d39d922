#include "engine/cdc/row_completer.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace ferry::engine {

using connector::ChangePoint;
using model::Cell;
using model::CellState;
using model::Change;

class RowCompleter::CompletedTransaction final : public model::Transaction {
 public:
  CompletedTransaction(RowCompleter& completer, model::Transaction& transaction)
      : completer_(completer), transaction_(transaction) {
    completer_.transaction_ = transaction_.stamp().id;
  }

  const model::TransactionStamp& stamp() const override { return transaction_.stamp(); }

  bool next(Change& change) override {
    if (!transaction_.next(change)) return false;
    if (change.kind == model::ChangeKind::kSchemaChange) return true;
    // Counted as the target counts (connector::ChangePoint), so that a replay finds the same places.
    std::uint64_t ordinal = ordinals_[(*change.table)->name]++;
    bool whole = std::ranges::none_of(change.after,
                                      [](const Cell& cell) { return cell.state == CellState::kNotSent; });
    if (whole) return true;
    after_.assign(change.after.begin(), change.after.end());
    completer_.fill(change, {.commit = stamp().commit_position, .ordinal = ordinal}, after_, storage_);
    change.after = after_;
    return true;
  }

 private:
  RowCompleter& completer_;
  model::Transaction& transaction_;
  std::map<model::TableName, std::uint64_t> ordinals_;
  std::vector<Cell> after_;
  std::vector<std::string> storage_;
};

RowCompleter::RowCompleter(std::unique_ptr<connector::SourceLookup> lookup, LookedUpValues& values,
                           const mapping::Transformations& rules, std::stop_token stop)
    : lookup_(std::move(lookup)), values_(values), rules_(rules), stop_(std::move(stop)) {}

std::unique_ptr<model::Transaction> RowCompleter::complete(model::Transaction& transaction) {
  return std::make_unique<CompletedTransaction>(*this, transaction);
}

void RowCompleter::fill(const Change& change, const ChangePoint& point, std::vector<Cell>& after,
                        std::vector<std::string>& storage) {
  const model::TableName table = rules_.target_name((*change.table)->name);
  std::vector<std::uint32_t> missing;
  std::vector<LookedUpValues::Value> found;
  storage.clear();
  storage.reserve(after.size());  // Cells point into it, so it must not move.
  auto keep = [&](Cell& cell, LookedUpValues::Value&& value) {
    storage.push_back(std::move(value.bytes));
    cell = {.state = value.state, .bytes = storage.back()};
  };
  for (std::uint32_t column = 0; column < after.size(); ++column) {
    if (after[column].state != CellState::kNotSent) continue;
    if (!change.before.empty() && change.before[column].state != CellState::kNotSent) {
      after[column] = change.before[column];
    } else if (auto value = values_.find(table, {.point = point, .column = column})) {
      keep(after[column], std::move(*value));
    } else {
      missing.push_back(column);
    }
  }
  if (missing.empty()) return;
  look_up(change, missing, after, found);
  for (std::size_t i = 0; i < missing.size(); ++i) {
    values_.remember(table, {.point = point, .column = missing[i]}, found[i]);
    keep(after[missing[i]], std::move(found[i]));
  }
}

void RowCompleter::look_up(const Change& change, const std::vector<std::uint32_t>& columns,
                           std::vector<Cell>& after, std::vector<LookedUpValues::Value>& found) {
  found.assign(columns.size(), {});
  const model::TableVersionPtr& table = *change.table;
  if (table->key.empty()) return;
  std::vector<Cell> key;
  for (std::uint32_t column : table->key) key.push_back(after[column]);
  try {
    auto cells = lookup_->find(
        {.table = table, .columns = columns, .key = std::move(key), .transaction = transaction_}, stop_);
    if (!cells) return;
    for (std::size_t i = 0; i < columns.size(); ++i)
      found[i] = {(*cells)[i].state, std::string((*cells)[i].bytes)};
  } catch (const base::Error& error) {
    // The table has changed or gone since: the value cannot be had, and is counted as such by the target.
    if (base::facts_of(error.kind()).recovery != base::Recovery::kTable) throw;
    base::log_warning(base::kSourceCapture,
                      "values of table {} that the log did not send cannot be looked up: {}",
                      model::to_string(table->name), error.what());
  }
}

}  // namespace ferry::engine
