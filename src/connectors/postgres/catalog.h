#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "connector/source.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/types.h"

namespace ferry::postgres {

// Gives the connection for the catalog, where that is needed.
using Control = std::function<Connection&(std::stop_token)>;

// One column as the catalog has it, with what reading it needs beyond the model's column.
struct CatalogColumn {
  std::uint32_t type_oid = 0;  // As declared: a domain's own number.
  std::int32_t typmod = -1;    // As declared.
  std::string type_name;       // As declared, without a modifier: "character varying".
  bool generated = false;      // Left out of a pgoutput stream by servers before 18.
  bool is_virtual = false;     // Generated when it is read: nowhere in the log.
  ColumnCodec codec;
  // The expression that reads it in a SELECT for a binary COPY.
  std::string select;
};

// A table as the catalog has it: the model's version, and beside each of its columns the connector's own
// facts.
struct DescribedTable {
  model::TableVersionPtr version;
  std::vector<CatalogColumn> columns;
  connector::TableKind kind = connector::TableKind::kTable;
  bool unlogged = false;
  char replica_identity = 'd';      // pg_class.relreplident.
  std::int64_t rows_estimate = -1;  // Below 0 where the server has none.
  bool has_children = false;        // By INHERITS; a partitioned table's leaves are tables of their own.
};

// "schema"."table".
std::string quote_table(const model::TableName& name);

// Throws Error(kSourceTable) when there is no such table, or no column of it.
DescribedTable describe_table(Connection& connection, const Settings& settings, const model::TableName& table,
                              std::stop_token stop);
// The same by pg_class.oid; nothing when there is no such table any more.
std::optional<DescribedTable> describe_table(Connection& connection, const Settings& settings,
                                             std::uint32_t oid, std::stop_token stop);

// A type by its number; nothing when it is gone.
struct DescribedType {
  PgType type;           // Domains resolved.
  std::string declared;  // As declared, with its modifier: "numeric(12,2)".
  std::string name;      // Without it.
};
std::optional<DescribedType> describe_type(Connection& connection, std::uint32_t oid, std::int32_t typmod,
                                           std::stop_token stop);

// The number and modifier of a type that was declared so ("numeric(12,2)"); nothing when there is none of the
// name any more.
struct TypeNumber {
  std::uint32_t oid = 0;  // A domain's own number.
  std::int32_t typmod = -1;
};
std::optional<TypeNumber> find_type(Connection& connection, const std::string& declared,
                                    std::stop_token stop);

// Digits after the point of the database's money values. The session must not have set lc_monetary.
std::int16_t money_digits(Connection& connection, std::stop_token stop);

std::vector<connector::CatalogTable> list_tables(Connection& connection, std::stop_token stop);

class PostgresCatalog final : public connector::SourceCatalog {
 public:
  explicit PostgresCatalog(Settings settings) : settings_(std::move(settings)) {}

  std::vector<connector::CatalogTable> tables(std::stop_token stop) override;
  model::TableVersionPtr describe(const model::TableName& table, std::stop_token stop) override;

 private:
  Connection& connection(std::stop_token stop);

  Settings settings_;
  std::optional<Connection> connection_;
};

}  // namespace ferry::postgres
