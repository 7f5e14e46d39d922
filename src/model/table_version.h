#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "model/logical_type.h"

namespace ferry::model {

// A table's name in the source or on the target. `schema` is what DMS calls the schema: a PostgreSQL schema,
// a MySQL database.
struct TableName {
  std::string schema;
  std::string table;

  friend auto operator<=>(const TableName&, const TableName&) = default;
};

// "schema.table", for messages.
std::string to_string(const TableName& name);

struct Column {
  std::string name;
  LogicalType type;
  bool nullable = true;
  // The source's own number of the column, which a rename keeps (PostgreSQL: attnum); 0 where it has none.
  std::int32_t source_number = 0;
  // The source's own name of the type, for messages and for targets of the same engine.
  std::string source_type;
  // The source's estimate of distinct non-null values as a share of the rows in [0,1]; below 0 where unknown.
  // Only a hint for encoders: it changes with the source's statistics and so is no part of the column's
  // equality.
  double distinct_share = -1;
  // The source computes it from other columns, so that its log may leave it out. No part of the equality
  // either: the value is what it is.
  bool generated = false;

  friend bool operator==(const Column& a, const Column& b) {
    return std::tie(a.name, a.type, a.nullable, a.source_number, a.source_type) ==
           std::tie(b.name, b.type, b.nullable, b.source_number, b.source_type);
  }
};

// How the source's log names the row that an UPDATE or DELETE changes.
enum class RowIdentity : std::uint8_t {
  kKey,  // By `key`; the before image of a DELETE, and of an UPDATE that changes the key, holds at least its
         // columns.
  kFullRow,  // By the whole old row (PostgreSQL: REPLICA IDENTITY FULL); there may be equal rows.
  kNone,     // Not at all: only inserts are captured.
};

// One table's shape between two schema changes. Immutable once shared; every batch and change names its own.
struct TableVersion {
  TableName name;  // In the source.
  std::uint64_t source_table =
      0;  // The source's own number of the table (PostgreSQL: pg_class.oid), 0 = none.
  std::vector<Column> columns;
  std::vector<std::uint32_t> key;  // Indexes into columns, in key order; empty unless identity is kKey.
  RowIdentity identity = RowIdentity::kNone;

  friend bool operator==(const TableVersion&, const TableVersion&) = default;
};

using TableVersionPtr = std::shared_ptr<const TableVersion>;

}  // namespace ferry::model
