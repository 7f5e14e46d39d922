#include "connectors/postgres/ddl_shapes.h"

#include <algorithm>
#include <map>
#include <utility>

namespace ferry::postgres {
namespace {

using model::RowIdentity;
using model::TableVersion;

struct ColumnType {
  model::LogicalType type;
  std::string declared;
  std::string name;
  ColumnCodec codec;
};

// As relations.cc reads a type that only the stream knows: one that is gone comes as text.
ColumnType column_type(Connection& connection, const Settings& settings, const DdlColumn& column,
                       std::stop_token stop) {
  auto type = describe_type(connection, column.type_oid, column.typmod, stop);
  if (!type)
    return {.type = {.id = model::TypeId::kNclob},
            .declared = "text",
            .name = "",
            .codec = {.codec = Codec::kPrinted}};
  MappedType mapped = map_type(type->type, settings);
  if (mapped.codec.codec == Codec::kMoney) mapped.codec.money_digits = money_digits(connection, stop);
  return {.type = mapped.type,
          .declared = std::move(type->declared),
          .name = std::move(type->name),
          .codec = mapped.codec};
}

// As catalog.cc sets it from the catalog.
void set_identity(const DdlTable& table, TableVersion& version) {
  for (std::int32_t number : table.key) {
    auto column = std::ranges::find(table.columns, number, &DdlColumn::number);
    version.key.push_back(static_cast<std::uint32_t>(column - table.columns.begin()));
  }
  version.identity = RowIdentity::kKey;
  if (version.key.empty())
    version.identity = table.replica_identity == 'f' ? RowIdentity::kFullRow : RowIdentity::kNone;
}

}  // namespace

model::TableVersionPtr DdlShapes::take(const DdlTable& table, Connection& connection, std::stop_token stop) {
  auto version = std::make_shared<TableVersion>();
  version->name = table.name;
  version->source_table = table.oid;
  DescribedTable described;
  described.replica_identity = table.replica_identity;
  std::map<std::pair<std::uint32_t, std::int32_t>, ColumnType> types;
  for (const DdlColumn& column : table.columns) {
    auto [type, is_new] = types.try_emplace({column.type_oid, column.typmod});
    if (is_new) type->second = column_type(connection, settings_, column, stop);
    version->columns.push_back({.name = column.name,
                                .type = type->second.type,
                                .nullable = !column.not_null,
                                .source_number = column.number,
                                .source_type = type->second.declared});
    described.columns.push_back({.type_oid = column.type_oid,
                                 .typmod = column.typmod,
                                 .type_name = type->second.name,
                                 .generated = column.generated,
                                 .codec = type->second.codec,
                                 .select = {}});
  }
  set_identity(table, *version);
  described.version = version;
  shapes_.insert_or_assign(table.oid, std::move(described));
  ++changes_;
  return version;
}

const DescribedTable* DdlShapes::find(std::uint32_t oid) const {
  auto found = shapes_.find(oid);
  return found == shapes_.end() ? nullptr : &found->second;
}

const DescribedTable* DdlShapes::find(const model::TableName& name) const {
  auto found =
      std::ranges::find_if(shapes_, [&](const auto& each) { return each.second.version->name == name; });
  return found == shapes_.end() ? nullptr : &found->second;
}

void DdlShapes::forget(std::uint32_t oid) {
  if (shapes_.erase(oid) > 0) ++changes_;
}

}  // namespace ferry::postgres
