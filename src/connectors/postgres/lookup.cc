#include "connectors/postgres/lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using model::Cell;
using model::CellState;

}  // namespace

void PostgresLookup::connect(std::stop_token stop) {
  if (connection_) return;
  connection_.emplace(settings_, ConnectionPurpose::kOrdinary, "ferry-lookup", stop);
  // First the scale of stored money, then the one form in which text shows it.
  money_digits_ = money_digits(*connection_, stop);
  connection_->run("SET lc_monetary = 'C'", "prepare the session", stop);
}

// A transaction is in the log, and decoded, before other sessions see it. Until then a lookup would find no
// row under a key that it wrote, and old values elsewhere. Its lock on its own number is let go last.
void PostgresLookup::wait_until_visible(std::uint64_t transaction, std::stop_token stop) {
  if (transaction == visible_) return;
  const Statement still_open{.sql =
                                 "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND "
                                 "granted AND transactionid = $1)",
                             .doing = "wait for a transaction to be visible",
                             .parameters = {std::to_string(transaction)}};
  auto deadline = std::chrono::steady_clock::now() + settings_.execute_timeout;
  while (transaction != 0 && connection_->run(still_open, stop).boolean(0, 0)) {
    if (std::chrono::steady_clock::now() >= deadline) {
      throw Error(
          ErrorKind::kSourceConnectionLost,
          Error::Parts{
              .message = fmt::format("transaction {} is in the log, but was not visible within {} s",
                                     transaction, settings_.execute_timeout.count()),
              .remedy = "Look whether its commit waits for a synchronous standby, or raise ExecuteTimeout."});
    }
    // Waited for on the server, with the stop token in hand.
    connection_->run("SELECT pg_sleep(0.002)", "wait for a transaction to be visible", stop);
  }
  visible_ = transaction;
}

// The table may have changed since `wanted.table`: columns are read as they are now, and what no longer fits
// the wanted type is an error of the table.
void PostgresLookup::prepare(const Wanted& wanted, std::stop_token stop) {
  if (table_ == wanted.table && columns_ == wanted.columns) return;
  DescribedTable now = describe_table(*connection_, settings_, wanted.table->name, stop);
  std::string columns;
  readers_.clear();
  for (std::uint32_t wanted_column : wanted.columns) {
    const model::Column& column = wanted.table->columns[wanted_column];
    auto found = std::ranges::find(now.version->columns, column.name, &model::Column::name);
    if (found == now.version->columns.end() || found->type != column.type) {
      throw Error(ErrorKind::kSourceTable,
                  {.message = fmt::format("column '{}' of table {} is no longer what it was", column.name,
                                          to_string(wanted.table->name)),
                   .remedy = "Reload the table."});
    }
    ColumnCodec codec = now.columns[static_cast<std::size_t>(found - now.version->columns.begin())].codec;
    codec.money_digits = money_digits_;
    readers_.push_back({.codec = codec, .read = text_reader(codec.codec)});
    columns += (columns.empty() ? "" : ", ") + quote_identifier(column.name);
  }
  std::string condition;
  for (std::size_t i = 0; i < wanted.table->key.size(); ++i) {
    const model::Column& column = wanted.table->columns[wanted.table->key[i]];
    condition += fmt::format("{}{} = ${}::{}", i > 0 ? " AND " : "", quote_identifier(column.name), i + 1,
                             column.source_type);
  }
  query_ = fmt::format("SELECT {} FROM {} WHERE {}", columns, quote_table(wanted.table->name), condition);
  table_ = wanted.table;
  columns_ = wanted.columns;
}

std::optional<std::vector<Cell>> PostgresLookup::find(const Wanted& wanted, std::stop_token stop) {
  if (wanted.key.empty()) return std::nullopt;
  connect(stop);
  wait_until_visible(wanted.transaction, stop);
  prepare(wanted, stop);

  Parameters key;
  for (std::size_t i = 0; i < wanted.key.size(); ++i) {
    const Cell& cell = wanted.key[i];
    if (cell.state == CellState::kOutOfDomain) {
      key.emplace_back(cell.bytes);
    } else if (cell.state == CellState::kValue) {
      key.emplace_back(cell_text(wanted.table->columns[wanted.table->key[i]].type, cell.bytes));
    } else {
      return std::nullopt;  // No row has a key without a value.
    }
  }
  Result found = connection_->run({.sql = query_,
                                   .doing = fmt::format("look up a row of {}", to_string(wanted.table->name)),
                                   .parameters = std::move(key),
                                   .concern = Concern::kTable},
                                  stop);
  if (found.rows() == 0) return std::nullopt;

  std::vector<Cell> cells(readers_.size());
  values_.assign(readers_.size(), {});
  std::string scratch;
  for (std::size_t i = 0; i < readers_.size(); ++i) {
    int column = static_cast<int>(i);
    if (found.is_null(0, column)) continue;
    TextValue value = readers_[i].read(readers_[i].codec, found.text(0, column), scratch);
    values_[i] = value.bytes;
    cells[i] = {.state = value.state, .bytes = values_[i]};
  }
  return cells;
}

}  // namespace ferry::postgres
