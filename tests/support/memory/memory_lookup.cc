#include "tests/support/memory/memory_lookup.h"

namespace ferry::test_support {

std::optional<std::vector<model::Cell>> MemoryLookup::find(const Wanted& wanted, std::stop_token stop) {
  return connection_.call("lookup.find", stop, [&]() -> std::optional<std::vector<model::Cell>> {
    model::TableVersionPtr shape;
    auto row = connection_.database().find(wanted.table->name, row_of(wanted.key), shape);
    if (!shape) {
      throw base::Error(base::ErrorKind::kSourceTable, "there is no table " + to_string(wanted.table->name));
    }
    if (!row) return std::nullopt;
    Row as_wanted = projected(*row, *shape, *wanted.table);
    found_.clear();
    for (std::uint32_t column : wanted.columns) found_.push_back(as_wanted[column]);
    return cells_of(found_);
  });
}

}  // namespace ferry::test_support
