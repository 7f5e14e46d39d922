#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "connectors/postgres/logged_row.h"
#include "model/table_version.h"

// The lines of the test_decoding plugin (contrib/test_decoding/test_decoding.c of the server's sources) with
// the options kOptions. Pure: text in, one event out; safe on hostile text.
namespace ferry::postgres::test_decoding {

// What START_REPLICATION is given. Two options stay off: with skip-empty-xacts, servers before 18 send a
// transaction's messages without its BEGIN; and with stream-changes, the plugin says of a change only that
// there was one.
inline constexpr std::string_view kOptions = "\"include-xids\" '1', \"include-timestamp\" '1'";

struct Begin {
  std::uint32_t xid = 0;
};

struct Commit {
  std::uint32_t xid = 0;
  std::string_view time;  // As a timestamptz is printed.
};

enum class Operation : std::uint8_t { kInsert, kUpdate, kDelete };

// A row's line before its values are read, which costs little: most lines may be of tables nobody asked for.
struct RowLine {
  Operation operation = Operation::kInsert;
  std::string_view table;  // "schema.table" as printed, with the quotes that a name needs.
  std::string_view values;
};

struct Truncate {
  std::span<const std::string_view> tables;  // As printed.
};

// A message of pg_logical_emit_message().
struct Message {
  bool transactional = false;
  std::string_view prefix;
  std::string_view content;
};

using Event = std::variant<Begin, Commit, RowLine, Truncate, Message>;

struct Column {
  std::string_view name;
  std::string_view type;  // format_type() without a modifier.
  // In the text form that the type's output function gives and the TextReaders expect.
  Value value;
};

struct RowValues {
  // The old row without the columns that are null, in table order. Absent: the identity is unchanged, or
  // there is none.
  bool has_before = false;
  std::span<const Column> before;
  std::span<const Column> after;  // Every column, in table order. Empty for a DELETE.
};

// Keeps the lists and texts that an event's views point to. Used by one thread.
class Decoder {
 public:
  // The event is valid until the next call. Throws Error(kSourceProtocol) for text of another form.
  Event decode(std::string_view line);
  // The values of a line that decode() gave last; valid until the next call of it.
  RowValues read_values(const RowLine& line);

 private:
  std::vector<std::string_view> tables_;
  std::vector<Column> before_;
  std::vector<Column> after_;
  std::string unquoted_;  // Texts that stood with doubled quotes.
};

// The name that a line printed. Throws like decode().
model::TableName parse_table(std::string_view printed);

}  // namespace ferry::postgres::test_decoding
