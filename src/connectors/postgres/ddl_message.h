#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/table_version.h"

// What Ferry's event trigger (ddl_artifacts.h) puts into the log beside each statement that changes tables
// (docs/formats/ddl_message.md). Pure; safe on hostile text.
//
// Anybody who may log in may call pg_logical_emit_message() with the same prefix. So each message carries a
// key that only the trigger's owner can read in the database, and a message without it is nothing to us.
// Somebody who has the key reads the log or owns the artifacts, and can do worse without a message. What even
// such a message can do: name a table, a column or its number otherwise than the catalog until the next
// description of the table in the stream, which is believed before it; or end a table for us. It can reach no
// memory, no other table's rows and no SQL of ours: names are quoted or parameters, and its size is bounded.
namespace ferry::postgres {

inline constexpr std::string_view kDdlMessagePrefix = "dms_ddl";

struct DdlColumn {
  std::int32_t number = 0;  // pg_attribute.attnum: 1 to 1600, ascending.
  std::string name;
  std::uint32_t type_oid = 0;  // As declared: a domain's own number.
  std::int32_t typmod = -1;
  bool not_null = false;
  bool generated = false;

  friend bool operator==(const DdlColumn&, const DdlColumn&) = default;
};

// A permanent table as it is behind the statement.
struct DdlTable {
  std::uint32_t oid = 0;
  model::TableName name;
  char replica_identity = 'd';  // pg_class.relreplident.
  std::vector<DdlColumn> columns;
  // Numbers of the columns that identify a row, in key order: those of the replica identity's index, and with
  // FULL those of the primary key.
  std::vector<std::int32_t> key;

  friend bool operator==(const DdlTable&, const DdlTable&) = default;
};

struct DdlDrop {
  std::uint32_t oid = 0;
  model::TableName name;  // As it was.

  friend bool operator==(const DdlDrop&, const DdlDrop&) = default;
};

using DdlMessage = std::variant<DdlTable, DdlDrop>;

// Nothing where the text does not carry `key`, is larger than the largest table needs, or has another form
// than the trigger gives it. An empty key fits no message.
std::optional<DdlMessage> parse_ddl_message(std::string_view content, std::string_view key);

}  // namespace ferry::postgres
