#include "connectors/postgres/ddl_shapes.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace ferry::postgres {
namespace {

using model::RowIdentity;
using model::TableVersion;

// The first server with generated columns that are not stored.
constexpr int kVirtualMajor = 18;

struct ColumnType {
  model::LogicalType type;
  std::string declared;
  std::string name;
  ColumnCodec codec;
};

// As relations.cc reads a type that only the stream knows: one that is gone comes as text.
ColumnType column_type(Connection& connection, const Settings& settings, TypeNumber number,
                       std::stop_token stop) {
  auto type = describe_type(connection, number.oid, number.typmod, stop);
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

void DdlShapes::start(const std::vector<model::TableVersionPtr>& kept, Told told) {
  shapes_.clear();
  gone_.clear();
  ++changes_;
  told_ = told;
  for (const model::TableVersionPtr& version : kept) {
    Shape shape{.described = {}, .is_kept = true, .has_types = false};
    shape.described.version = version;
    if (version->identity == RowIdentity::kFullRow) shape.described.replica_identity = 'f';
    shapes_.insert_or_assign(version->source_table, std::move(shape));
  }
}

model::TableVersionPtr DdlShapes::take(const DdlTable& table, std::stop_token stop) {
  Connection& connection = control_(stop);
  auto version = std::make_shared<TableVersion>();
  version->name = table.name;
  version->source_table = table.oid;
  DescribedTable described;
  described.replica_identity = table.replica_identity;
  std::map<std::pair<std::uint32_t, std::int32_t>, ColumnType> types;
  for (const DdlColumn& column : table.columns) {
    auto [type, is_new] = types.try_emplace({column.type_oid, column.typmod});
    if (is_new)
      type->second =
          column_type(connection, settings_, {.oid = column.type_oid, .typmod = column.typmod}, stop);
    version->columns.push_back({.name = column.name,
                                .type = type->second.type,
                                .nullable = !column.not_null,
                                .source_number = column.number,
                                .source_type = type->second.declared,
                                .generated = column.generated});
    described.columns.push_back({.type_oid = column.type_oid,
                                 .typmod = column.typmod,
                                 .type_name = type->second.name,
                                 .generated = column.generated,
                                 .codec = type->second.codec,
                                 .select = {}});
  }
  set_identity(table, *version);
  described.version = version;
  if (std::ranges::any_of(described.columns, &CatalogColumn::generated)) set_generated(described, stop);
  shapes_.insert_or_assign(table.oid, Shape{.described = std::move(described)});
  gone_.erase(table.oid);
  ++changes_;
  return version;
}

// No shape says which generated columns are nowhere in the log. A column stays what it is as long as it has
// its number. Where nobody can say it any more, no value that the log seems to have is believed.
void DdlShapes::set_generated(DescribedTable& table, std::stop_token stop) {
  Connection& connection = control_(stop);
  bool has_virtual = connection.server_major() >= kVirtualMajor;
  auto now =
      describe_table(connection, settings_, static_cast<std::uint32_t>(table.version->source_table), stop);
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    CatalogColumn& column = table.columns[i];
    if (!now) {
      column.is_virtual = column.generated && has_virtual;
      continue;
    }
    const std::vector<model::Column>& columns = now->version->columns;
    auto same =
        std::ranges::find(columns, table.version->columns[i].source_number, &model::Column::source_number);
    if (same == columns.end()) continue;
    const CatalogColumn& known = now->columns[static_cast<std::size_t>(same - columns.begin())];
    column.generated |= known.generated;
    column.is_virtual = known.is_virtual;
  }
}

const DescribedTable* DdlShapes::with_types(Shape& shape, std::stop_token stop) {
  if (shape.has_types) return &shape.described;
  Connection& connection = control_(stop);
  auto version = std::make_shared<TableVersion>(*shape.described.version);
  std::map<std::string, std::pair<TypeNumber, ColumnType>> types;
  for (model::Column& column : version->columns) {
    auto [type, is_new] = types.try_emplace(column.source_type);
    auto& [number, described] = type->second;
    if (is_new) {
      number = find_type(connection, column.source_type, stop).value_or(TypeNumber{});
      described = column_type(connection, settings_, number, stop);
    }
    column.type = described.type;
    shape.described.columns.push_back({.type_oid = number.oid,
                                       .typmod = number.typmod,
                                       .type_name = number.oid != 0 ? described.name : column.source_type,
                                       .generated = column.generated,
                                       .codec = described.codec,
                                       .select = {}});
  }
  shape.described.version = std::move(version);
  if (std::ranges::any_of(shape.described.columns, &CatalogColumn::generated))
    set_generated(shape.described, stop);
  shape.has_types = true;
  return &shape.described;
}

const DescribedTable* DdlShapes::find(std::uint64_t oid, std::stop_token stop) {
  auto found = shapes_.find(oid);
  return found == shapes_.end() ? nullptr : with_types(found->second, stop);
}

const DescribedTable* DdlShapes::find(const model::TableName& name, std::stop_token stop) {
  model::TableVersionPtr named = version(name);
  return named ? find(named->source_table, stop) : nullptr;
}

model::TableVersionPtr DdlShapes::version(std::uint64_t oid) const {
  auto found = shapes_.find(oid);
  return found == shapes_.end() ? nullptr : found->second.described.version;
}

model::TableVersionPtr DdlShapes::version(const model::TableName& name) const {
  // What is kept of a name gives way to what is told.
  model::TableVersionPtr kept;
  for (const auto& [oid, shape] : shapes_) {
    if (shape.described.version->name != name) continue;
    if (!shape.is_kept) return shape.described.version;
    kept = shape.described.version;
  }
  return kept;
}

bool DdlShapes::is_doubtful(std::uint64_t oid) const {
  auto found = shapes_.find(oid);
  return found != shapes_.end() && found->second.is_kept && told_ == Told::kNotAll;
}

bool DdlShapes::has_left(std::uint64_t oid, const model::TableName& name) const {
  if (gone_.contains(oid)) return true;
  model::TableVersionPtr known = version(oid);
  return known && known->name != name;
}

void DdlShapes::forget(std::uint64_t oid) {
  shapes_.erase(oid);
  gone_.insert(oid);
  ++changes_;
}

void DdlShapes::forget_doubtful(std::uint64_t oid) {
  if (!is_doubtful(oid)) return;
  shapes_.erase(oid);
  ++changes_;
}

void DdlShapes::forget_doubtful() {
  if (told_ == Told::kAll) return;
  if (std::erase_if(shapes_, [](const auto& each) { return each.second.is_kept; }) > 0) ++changes_;
}

}  // namespace ferry::postgres
