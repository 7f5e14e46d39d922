#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "connectors/postgres/relations.h"
#include "connectors/postgres/test_decoding.h"

namespace ferry::postgres {

// A table of a test_decoding stream.
struct PrintedTable {
  struct Column {
    std::string name;
    std::string type;        // As the plugin prints it.
    std::int32_t place = 0;  // In a row of `shape`; below 0 for one that the log does not hold.
    std::int32_t fraction_digits_max = -1;  // Below 0: any.
  };

  bool wanted = false;
  StreamTablePtr shape;         // Null before the first row.
  std::vector<Column> columns;  // All that the plugin prints of a whole row, in its order.
  bool is_current = false;      // What the rows do not show has not changed either, as far as we have looked.
  std::string hidden;           // What look_again() found last.
  std::uint64_t told_at = 0;    // DdlShapes::changes() when it was fitted last,
  model::TableVersionPtr told;  // and the shape that it had for the table's name.
  std::int64_t left_out = 0;    // Changes that name no row.
};

// The tables of a test_decoding stream by the name that it prints. Used by one thread.
//
// The plugin says no table numbers, no type modifiers and no identity, and describes no table before its
// rows: each row has its columns' names and types, as they were at its place in the log. So a table's shape
// is taken from the event trigger's last message about the name where rows have its names and types, or from
// what the task has kept of it, or from the catalog, and stays as long as they do and no other message comes.
// The rest is compared with the catalog now and then, and where a number has more digits than its column's
// modifier allows. After an ALTER that changes only the rest, rows have the former shape until then, which
// alters no value of theirs.
//
// Where not all DDL is told, a kept name may be another table's by now. A row that fits both is taken for the
// other's, whose copy holds it if it is: the last changes of the former one may then be missing, which is
// warned of, but none is there twice.
class PrintedTables {
 public:
  PrintedTables(const Settings& settings, Control control, DdlShapes& shapes,
                std::function<bool(const model::TableName&)> wants)
      : settings_(settings), control_(std::move(control)), shapes_(shapes), wants_(std::move(wants)) {}

  // Cheap for a table that was seen before.
  PrintedTable& find(std::string_view printed);

  // Makes `table.shape` fit a row's columns; `all`: the row has every column of the table, as new rows do, or
  // only those of an old row.
  enum class Has : std::uint8_t { kAll, kSome };
  void fit(PrintedTable& table, std::string_view printed, std::span<const test_decoding::Column> columns,
           Has has, std::stop_token stop);

  // Whether the old row of an update or delete can be one of `table.shape`: where it is not whole, it has the
  // columns of the identity. If it cannot, what the task has kept of the table is of the past, and is
  // forgotten: it is to be fitted again.
  bool fits_identity(const PrintedTable& table, std::span<const test_decoding::Column> before);

  // Marks the tables of which the catalog says something else than before.
  void look_again(std::stop_token stop);

 private:
  std::optional<DescribedTable> table_now(const PrintedTable& table, const model::TableName& name,
                                          std::span<const test_decoding::Column> columns, Has has,
                                          std::stop_token stop);

  const Settings& settings_;
  const Control control_;
  DdlShapes& shapes_;
  std::function<bool(const model::TableName&)> wants_;
  std::unordered_map<std::string, PrintedTable> tables_;
  std::string name_;
};

}  // namespace ferry::postgres
