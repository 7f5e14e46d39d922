#pragma once

#include <cstdint>
#include <span>
#include <string_view>

// What the output plugins say of rows and tables, whatever their form. Views into the message that said it.
namespace ferry::postgres {

enum class ValueKind : std::uint8_t {
  kNull,
  kNotSent,  // The log does not hold it: a TOASTed value that the change leaves as it was.
  kText,
  kBinary,
};

struct Value {
  ValueKind kind = ValueKind::kNull;
  std::string_view bytes;
};

enum class OldTuple : std::uint8_t {
  kNone,
  kKey,   // Only the columns of the replica identity; the others are null without meaning it.
  kFull,  // REPLICA IDENTITY FULL.
};

// A table's columns at one place of the log.
struct RelationColumn {
  bool in_identity = false;
  std::string_view name;
  std::uint32_t type_oid = 0;
  std::int32_t typmod = -1;
};

struct Relation {
  std::uint32_t oid = 0;
  std::string_view schema;
  std::string_view name;
  char replica_identity = 'd';  // pg_class.relreplident.
  std::span<const RelationColumn> columns;
};

}  // namespace ferry::postgres
