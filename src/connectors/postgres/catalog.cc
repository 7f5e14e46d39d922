#include "connectors/postgres/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/error.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using connector::CatalogTable;
using connector::TableKind;
using model::RowIdentity;
using model::TableName;

// Sizes are computed from relpages: pg_table_size() would wait behind every exclusive lock.
constexpr std::string_view kTablesQuery = R"(
SELECT n.nspname, c.relname, c.relkind, c.reltuples,
       (c.relpages + coalesce(t.relpages, 0))::int8 * current_setting('block_size')::int8, c.relpages
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.relkind IN ('r', 'v') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND c.relname !~ '^awsdms_'
ORDER BY n.nspname, c.relname)";

constexpr std::string_view kTableQuery = R"(
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident, c.reltuples, c.relpages,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'p', 'm', 'f') AND )";

// Each column with its declared type and, behind any domains, the type it is made of.
constexpr std::string_view kColumnsQuery = R"(
SELECT a.attnum, a.attname, a.attnotnull, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod),
       b.oid, b.typmod, b.typtype, b.typcategory, b.typname, b.typoutput, format_type(b.oid, b.typmod),
       s.n_distinct, {generated}, format_type(a.atttypid, NULL)
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  WITH RECURSIVE made_of AS (
    SELECT t.oid, a.atttypmod AS typmod, t.typtype, t.typbasetype, t.typtypmod, t.typcategory, t.typname,
           t.typoutput::regproc::text AS typoutput
    FROM pg_type t WHERE t.oid = a.atttypid
    UNION ALL
    SELECT t.oid, d.typtypmod, t.typtype, t.typbasetype, t.typtypmod, t.typcategory, t.typname,
           t.typoutput::regproc::text
    FROM made_of d JOIN pg_type t ON t.oid = d.typbasetype WHERE d.typtype = 'd')
  SELECT * FROM made_of WHERE typtype <> 'd') b
LEFT JOIN pg_stats s
  ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname AND NOT s.inherited
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum)";

constexpr std::string_view kTypeQuery = R"(
WITH RECURSIVE made_of AS (
  SELECT t.oid, $2::int4 AS typmod, t.typtype, t.typbasetype, t.typtypmod, t.typcategory, t.typname
  FROM pg_type t WHERE t.oid = $1
  UNION ALL
  SELECT t.oid, d.typtypmod, t.typtype, t.typbasetype, t.typtypmod, t.typcategory, t.typname
  FROM made_of d JOIN pg_type t ON t.oid = d.typbasetype WHERE d.typtype = 'd')
SELECT oid, typmod, typtype, typcategory, typname, format_type($1, $2::int4), format_type($1, NULL)
FROM made_of WHERE typtype <> 'd')";

// The primary key and the index that REPLICA IDENTITY USING INDEX names. An index made with INCLUDE has more
// columns than its key.
constexpr std::string_view kKeysQuery = R"(
SELECT i.indisprimary, i.indisreplident, i.indimmediate,
       (SELECT string_agg(k.attnum::text, ' ' ORDER BY k.place)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) WHERE k.place <= {key_columns})
FROM pg_index i
WHERE i.indrelid = $1 AND i.indisvalid AND (i.indisprimary OR i.indisreplident))";

struct TableRow {
  std::uint32_t oid = 0;
  TableName name;
  char kind = 'r';
  char persistence = 'p';
  char replica_identity = 'd';
  std::int64_t rows_estimate = -1;
  bool has_children = false;
};

// Below 0 where nothing is known: of views, and of tables that were never analysed. Before PostgreSQL 14 such
// a table says 0 rows in 0 pages.
std::int64_t rows_estimate(char kind, double tuples, std::int64_t pages, int server_major) {
  bool known = kind == 'r' && tuples >= 0 && (server_major >= 14 || pages > 0);
  return known ? static_cast<std::int64_t>(tuples) : -1;
}

std::optional<TableRow> find_table(Connection& connection, std::string_view condition, Parameters parameters,
                                   std::stop_token stop) {
  Result found = connection.run({.sql = std::string(kTableQuery) + std::string(condition),
                                 .doing = "look up a table",
                                 .parameters = std::move(parameters)},
                                stop);
  if (found.rows() == 0) return std::nullopt;
  char kind = found.text(0, 3).front();
  return TableRow{
      .oid = static_cast<std::uint32_t>(found.integer(0, 0)),
      .name = {.schema = std::string(found.text(0, 1)), .table = std::string(found.text(0, 2))},
      .kind = kind,
      .persistence = found.text(0, 4).front(),
      .replica_identity = found.text(0, 5).front(),
      .rows_estimate = rows_estimate(kind, found.real(0, 6), found.integer(0, 7), connection.server_major()),
      .has_children = found.boolean(0, 8)};
}

double distinct_share(const Result& columns, int row, std::int64_t table_rows) {
  constexpr int kDistinct = 13;
  if (columns.is_null(row, kDistinct)) return -1;
  // pg_stats: below 0 it is the negated share, above 0 a count.
  double distinct = columns.real(row, kDistinct);
  if (distinct < 0) return std::min(-distinct, 1.0);
  if (distinct > 0 && table_rows > 0) return std::min(distinct / static_cast<double>(table_rows), 1.0);
  return -1;
}

// The expression that reads the column for a binary COPY. A printed type goes through its output function,
// not through ::text: the cast of some types prints other text (inet adds "/32", xml keeps its encoding),
// while the log holds what the output function prints. COPY sends the resulting cstring as text.
std::string select_expression(const Result& columns, int row, Codec codec) {
  std::string name = quote_identifier(columns.text(row, 1));
  if (codec != Codec::kPrinted) return name;
  bool is_domain = columns.integer(row, 3) != columns.integer(row, 6);
  return fmt::format("{}({}{})", columns.text(row, 11), name,
                     is_domain ? fmt::format("::{}", columns.text(row, 12)) : "");
}

// The columns of the key as indexes into the version's columns, in key order.
std::vector<std::uint32_t> key_columns(const model::TableVersion& table, std::string_view attnums) {
  std::vector<std::uint32_t> key;
  while (!attnums.empty()) {
    std::string_view item = attnums.substr(0, attnums.find(' '));
    attnums.remove_prefix(std::min(attnums.size(), item.size() + 1));
    int attnum = 0;
    std::from_chars(item.data(), item.data() + item.size(), attnum);
    for (std::uint32_t i = 0; i < table.columns.size(); ++i) {
      if (table.columns[i].source_number == attnum) key.push_back(i);
    }
  }
  return key;
}

// What the log will hold of an old row, as REPLICA IDENTITY says it (PostgreSQL manual, ALTER TABLE). With
// FULL and a usable primary key that key is the identity: the whole old row is in the log, and its key with
// it.
void set_identity(Connection& connection, const TableRow& row, model::TableVersion& table,
                  std::stop_token stop) {
  if (row.kind != 'r' || row.replica_identity == 'n') return;
  Result keys = connection.run(
      {.sql = fmt::format(
           fmt::runtime(kKeysQuery),
           fmt::arg("key_columns", connection.server_major() >= 11 ? "i.indnkeyatts" : "i.indnatts")),
       .doing = "look up a table's keys",
       .parameters = {std::to_string(row.oid)}},
      stop);
  if (row.replica_identity == 'f') table.identity = RowIdentity::kFullRow;
  for (int i = 0; i < keys.rows(); ++i) {
    bool wanted = row.replica_identity == 'i' ? keys.boolean(i, 1) : keys.boolean(i, 0);
    // The server takes no deferrable key for an identity.
    if (!wanted || !keys.boolean(i, 2)) continue;
    table.key = key_columns(table, keys.text(i, 3));
    table.identity = RowIdentity::kKey;
  }
}

DescribedTable describe(Connection& connection, const Settings& settings, const TableRow& row,
                        std::stop_token stop) {
  int major = connection.server_major();
  Result found =
      connection.run({.sql = fmt::format(fmt::runtime(kColumnsQuery),
                                         fmt::arg("generated", major >= 12 ? "a.attgenerated" : "''")),
                      .doing = fmt::format("describe the table {}", to_string(row.name)),
                      .parameters = {std::to_string(row.oid)},
                      .concern = Concern::kTable},
                     stop);

  auto version = std::make_shared<model::TableVersion>();
  version->name = row.name;
  version->source_table = row.oid;
  DescribedTable table;
  table.kind = row.kind == 'v' ? TableKind::kView : TableKind::kTable;
  table.unlogged = row.persistence == 'u';
  table.replica_identity = row.replica_identity;
  table.has_children = row.has_children;
  table.rows_estimate = row.rows_estimate;
  std::optional<std::int16_t> digits_of_money;
  for (int i = 0; i < found.rows(); ++i) {
    PgType type{.oid = static_cast<std::uint32_t>(found.integer(i, 6)),
                .typmod = static_cast<std::int32_t>(found.integer(i, 7)),
                .kind = found.text(i, 8).front(),
                .category = found.text(i, 9).front(),
                .name = std::string(found.text(i, 10))};
    MappedType mapped = map_type(type, settings);
    if (mapped.codec.codec == Codec::kMoney) {
      if (!digits_of_money) digits_of_money = money_digits(connection, stop);
      mapped.codec.money_digits = *digits_of_money;
    }
    version->columns.push_back({.name = std::string(found.text(i, 1)),
                                .type = mapped.type,
                                .nullable = !found.boolean(i, 2),
                                .source_number = static_cast<std::int32_t>(found.integer(i, 0)),
                                .source_type = std::string(found.text(i, 5)),
                                .distinct_share = distinct_share(found, i, row.rows_estimate),
                                .generated = !found.text(i, 14).empty()});
    table.columns.push_back({.type_oid = static_cast<std::uint32_t>(found.integer(i, 3)),
                             .typmod = static_cast<std::int32_t>(found.integer(i, 4)),
                             .type_name = std::string(found.text(i, 15)),
                             .generated = !found.text(i, 14).empty(),
                             .is_virtual = found.text(i, 14) == "v",
                             .codec = mapped.codec,
                             .select = select_expression(found, i, mapped.codec.codec)});
  }
  set_identity(connection, row, *version, stop);
  table.version = std::move(version);
  return table;
}

Error no_such_table(const TableName& table) {
  return Error(ErrorKind::kSourceTable,
               {.message = fmt::format("the source has no table {}", to_string(table)),
                .remedy = "Check the table mappings, or reload once the table is there."});
}

}  // namespace

std::string quote_table(const TableName& name) {
  return quote_identifier(name.schema) + '.' + quote_identifier(name.table);
}

DescribedTable describe_table(Connection& connection, const Settings& settings, const TableName& table,
                              std::stop_token stop) {
  auto row = find_table(connection, "n.nspname = $1 AND c.relname = $2", {table.schema, table.table}, stop);
  if (!row) throw no_such_table(table);
  DescribedTable described = describe(connection, settings, *row, stop);
  if (described.version->columns.empty()) {
    throw Error(ErrorKind::kSourceTable,
                {.message = fmt::format("the table {} has no columns", to_string(table)),
                 .remedy = "Leave it out of the table mappings."});
  }
  return described;
}

std::optional<DescribedTable> describe_table(Connection& connection, const Settings& settings,
                                             std::uint32_t oid, std::stop_token stop) {
  auto row = find_table(connection, "c.oid = $1", {std::to_string(oid)}, stop);
  if (!row) return std::nullopt;
  return describe(connection, settings, *row, stop);
}

std::optional<DescribedType> describe_type(Connection& connection, std::uint32_t oid, std::int32_t typmod,
                                           std::stop_token stop) {
  Result found = connection.run({.sql = std::string(kTypeQuery),
                                 .doing = "look up a type",
                                 .parameters = {std::to_string(oid), std::to_string(typmod)}},
                                stop);
  if (found.rows() == 0) return std::nullopt;
  return DescribedType{.type = {.oid = static_cast<std::uint32_t>(found.integer(0, 0)),
                                .typmod = static_cast<std::int32_t>(found.integer(0, 1)),
                                .kind = found.text(0, 2).front(),
                                .category = found.text(0, 3).front(),
                                .name = std::string(found.text(0, 4))},
                       .declared = std::string(found.text(0, 5)),
                       .name = std::string(found.text(0, 6))};
}

// The server tells a type's modifier only where it describes a result that has one.
std::optional<TypeNumber> find_type(Connection& connection, const std::string& declared,
                                    std::stop_token stop) {
  try {
    Result number = connection.run({.sql = "SELECT to_regtype($1)::oid",
                                    .doing = "look up a type by its name",
                                    .parameters = {declared}},
                                   stop);
    if (number.is_null(0, 0)) return std::nullopt;
    TypeNumber found{.oid = static_cast<std::uint32_t>(number.integer(0, 0))};
    Result described = connection.run(fmt::format("SELECT CAST(NULL AS {}) LIMIT 0", declared),
                                      "look up a type's modifier", stop);
    // What a domain is made of is its own affair.
    if (described.type_oid(0) == found.oid) found.typmod = described.typmod(0);
    return found;
  } catch (const Error& error) {
    // Of classes 42 (no such type, or no such text for one) and 3F (no such schema).
    bool is_unknown = error.vendor_code().starts_with("42") || error.vendor_code().starts_with("3F");
    if (!is_unknown) throw;
    return std::nullopt;
  }
}

std::int16_t money_digits(Connection& connection, std::stop_token stop) {
  Result scale =
      connection.run("SELECT scale('1'::money::numeric)", "look up the scale of money values", stop);
  return static_cast<std::int16_t>(scale.integer(0, 0));
}

std::vector<CatalogTable> list_tables(Connection& connection, std::stop_token stop) {
  Result found = connection.run(std::string(kTablesQuery), "list the tables", stop);
  std::vector<CatalogTable> tables;
  tables.reserve(static_cast<std::size_t>(found.rows()));
  for (int i = 0; i < found.rows(); ++i) {
    CatalogTable table;
    table.name = {.schema = std::string(found.text(i, 0)), .table = std::string(found.text(i, 1))};
    table.kind = found.text(i, 2) == "v" ? TableKind::kView : TableKind::kTable;
    table.rows_estimate = rows_estimate(found.text(i, 2).front(), found.real(i, 3), found.integer(i, 5),
                                        connection.server_major());
    if (table.rows_estimate >= 0) table.bytes_estimate = found.integer(i, 4);
    tables.push_back(std::move(table));
  }
  return tables;
}

Connection& PostgresCatalog::connection(std::stop_token stop) {
  if (!connection_) connection_.emplace(settings_, ConnectionPurpose::kOrdinary, "ferry-catalog", stop);
  return *connection_;
}

std::vector<CatalogTable> PostgresCatalog::tables(std::stop_token stop) {
  return list_tables(connection(stop), stop);
}

model::TableVersionPtr PostgresCatalog::describe(const TableName& table, std::stop_token stop) {
  return describe_table(connection(stop), settings_, table, stop).version;
}

}  // namespace ferry::postgres
