#include "tests/support/memory/memory_catalog.h"

#include <algorithm>

namespace ferry::test_support {
namespace {

constexpr std::string_view kSystemSchema = "information_schema";
constexpr std::string_view kDmsPrefix = "awsdms_";

}  // namespace

std::vector<connector::CatalogTable> MemoryCatalog::tables(std::stop_token stop) {
  return connection_.call("catalog.tables", stop, [&] {
    std::vector<connector::CatalogTable> tables;
    for (const auto& listed : connection_.database().list()) {
      if (listed.name.schema == kSystemSchema || listed.name.table.starts_with(kDmsPrefix)) continue;
      tables.push_back({.name = listed.name, .kind = listed.kind, .rows_estimate = listed.rows});
    }
    std::ranges::sort(tables, {}, &connector::CatalogTable::name);
    return tables;
  });
}

model::TableVersionPtr MemoryCatalog::describe(const model::TableName& table, std::stop_token stop) {
  return connection_.call("catalog.describe", stop, [&] {
    auto shape = connection_.database().describe(table);
    if (!shape) throw base::Error(base::ErrorKind::kSourceTable, "there is no table " + to_string(table));
    return shape;
  });
}

}  // namespace ferry::test_support
