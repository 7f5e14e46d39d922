#include "connectors/postgres/lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/log.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using model::Cell;
using model::CellState;

// How often a row is looked for while names change under the lookup.
constexpr int kNamesTries = 3;

// Whether the table is as `then` in names and types, in order. Generated columns may be nowhere in the log.
bool looks_like(const DescribedTable& now, const model::TableVersion& then) {
  auto next = then.columns.begin();
  for (std::size_t i = 0; i < now.columns.size(); ++i) {
    const model::Column& column = now.version->columns[i];
    if (next != then.columns.end() && next->name == column.name && next->type == column.type) {
      ++next;
    } else if (!now.columns[i].generated) {
      return false;
    }
  }
  return next == then.columns.end();
}

// The column of `now` that `column` of `then` has become; nothing where it is gone or reads as another type.
// Where the number is not known, only its name is, which may be another's by now: it is believed where all
// others are as they were too.
std::optional<std::uint32_t> find_now(const DescribedTable& now, const model::TableVersion& then,
                                      const model::Column& column) {
  const std::vector<model::Column>& columns = now.version->columns;
  auto found = columns.end();
  if (column.source_number != 0) {
    found = std::ranges::find(columns, column.source_number, &model::Column::source_number);
  } else if (looks_like(now, then)) {
    found = std::ranges::find(columns, column.name, &model::Column::name);
  }
  if (found == columns.end() || found->type != column.type) return std::nullopt;
  return static_cast<std::uint32_t>(found - columns.begin());
}

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

// The table may have changed since `wanted.table`: its columns are read as they are now. One that is gone, or
// does not fit the wanted type any more, is an error of the table.
void PostgresLookup::prepare(const Wanted& wanted, std::stop_token stop) {
  const model::TableVersion& table = *wanted.table;
  table_ = wanted.table;
  columns_ = wanted.columns;
  problem_.clear();
  readers_.clear();
  std::optional<DescribedTable> now;
  if (table.source_table != 0)
    now = describe_table(*connection_, settings_, static_cast<std::uint32_t>(table.source_table), stop);
  if (!now) {
    problem_ = fmt::format("table {} is gone", to_string(table.name));
    return;
  }
  std::string names;
  std::set<std::int32_t> numbers;
  std::vector<std::uint32_t> found;
  // The name that a column of `table` has now; its place among the columns of now goes to `found`.
  auto name_now = [&](const model::Column& column) -> std::string {
    auto place = find_now(*now, table, column);
    if (!place) {
      problem_ =
          fmt::format("column '{}' of table {} is no longer what it was", column.name, to_string(table.name));
      return {};
    }
    found.push_back(*place);
    const model::Column& same = now->version->columns[*place];
    if (numbers.insert(same.source_number).second) {
      names += fmt::format("{}({}, {})", names.empty() ? "" : ", ", same.source_number,
                           connection_->literal(same.name));
    }
    return quote_identifier(same.name);
  };
  std::string columns;
  for (std::uint32_t wanted_column : wanted.columns) {
    std::string name = name_now(table.columns[wanted_column]);
    if (!problem_.empty()) return;
    ColumnCodec codec = now->columns[found.back()].codec;
    codec.money_digits = money_digits_;
    readers_.push_back({.codec = codec, .read = text_reader(codec.codec)});
    columns += (columns.empty() ? "" : ", ") + name;
  }
  tell_of_generated(*now, found);
  std::string condition;
  for (std::size_t i = 0; i < table.key.size(); ++i) {
    const model::Column& column = table.columns[table.key[i]];
    condition += fmt::format(" AND {} = ${}::{}", name_now(column), i + 1, column.source_type);
    if (!problem_.empty()) return;
  }
  // What the catalog says is of the statement's snapshot, which is taken when the table is locked already.
  names_hold_ = fmt::format(
      "(SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid = {} AND (attnum, attname) IN ({})) = {}",
      table.source_table, names, numbers.size());
  query_ = fmt::format("SELECT {} FROM {} WHERE tableoid = {} AND {}{}", columns,
                       quote_table(now->version->name), table.source_table, names_hold_, condition);
  names_hold_ += fmt::format(
      " AND EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = "
      "c.relnamespace "
      "WHERE c.oid = {} AND n.nspname = {} AND c.relname = {})",
      table.source_table, connection_->literal(now->version->name.schema),
      connection_->literal(now->version->name.table));
}

bool PostgresLookup::names_hold(const Wanted& wanted, std::stop_token stop) {
  return connection_
      ->run({.sql = "SELECT " + names_hold_,
             .doing = fmt::format("look at the names of {}", to_string(wanted.table->name))},
            stop)
      .boolean(0, 0);
}

void PostgresLookup::tell_of_generated(const DescribedTable& table,
                                       const std::vector<std::uint32_t>& columns) {
  std::string names;
  for (std::uint32_t column : columns) {
    if (!table.columns[column].generated) continue;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", table.version->columns[column].name);
  }
  if (names.empty() || !told_of_generated_.insert(table.version->source_table).second) return;
  base::log_warning(
      base::kSourceCapture,
      "generated columns of table {} ({}) are not in the source's log, so their values are looked "
      "up when a change is applied: they are as of the lookup, which is later than the change",
      to_string(table.version->name), names);
}

// The one row; nothing where there is none, or several, so that nobody knows which was meant.
std::optional<Result> PostgresLookup::run(const Wanted& wanted, const Parameters& key, std::stop_token stop) {
  if (!problem_.empty()) {
    throw Error(ErrorKind::kSourceTable,
                Error::Parts{.message = problem_, .remedy = "Reload the table to have the values."});
  }
  Result found = connection_->run({.sql = query_,
                                   .doing = fmt::format("look up a row of {}", to_string(wanted.table->name)),
                                   .parameters = key,
                                   .concern = Concern::kTable},
                                  stop);
  if (found.rows() != 1) return std::nullopt;
  return found;
}

std::optional<std::vector<Cell>> PostgresLookup::find(const Wanted& wanted, std::stop_token stop) {
  if (wanted.key.empty()) return std::nullopt;
  connect(stop);
  wait_until_visible(wanted.transaction, stop);
  if (table_ != wanted.table || columns_ != wanted.columns) prepare(wanted, stop);

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
  std::optional<Result> result;
  try {
    result = run(wanted, key, stop);
  } catch (const Error& error) {
    if (!problem_.empty() || error.kind() != ErrorKind::kSourceTable || names_hold(wanted, stop)) throw;
  }
  // The table or a column may have got another name since the query was made.
  for (int again = 0; !result && problem_.empty() && !names_hold(wanted, stop); ++again) {
    if (again == kNamesTries) {
      throw Error(ErrorKind::kSourceTable, {.message = fmt::format("table {} changes its names all the time",
                                                                   to_string(wanted.table->name)),
                                            .remedy = "Reload the table to have the values."});
    }
    prepare(wanted, stop);
    result = run(wanted, key, stop);
  }
  if (!result) return std::nullopt;
  const Result& found = *result;

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
