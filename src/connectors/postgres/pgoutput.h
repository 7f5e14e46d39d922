#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "connectors/postgres/position.h"

// The messages of the pgoutput plugin, protocol versions 1 and 2 without streaming (PostgreSQL manual, 55.9
// "Logical Replication Message Formats"). Pure: bytes in, one message out, views into the bytes; safe on
// hostile bytes.
namespace ferry::postgres::pgoutput {

// Microseconds since 2000-01-01.
using ServerMicros = std::int64_t;

struct Begin {
  Lsn final_lsn{};  // Where the commit record starts: the commit's own position.
  ServerMicros commit_time = 0;
  std::uint32_t xid = 0;
};

struct Commit {
  Lsn commit_lsn{};
  Lsn end_lsn{};  // Where the commit record ends.
  ServerMicros commit_time = 0;
};

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

enum class ValueKind : std::uint8_t {
  kNull,
  kUnchanged,  // A TOASTed value that the change leaves as it was.
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

struct Insert {
  std::uint32_t relation = 0;
  std::span<const Value> after;
};

struct Update {
  std::uint32_t relation = 0;
  OldTuple old = OldTuple::kNone;
  std::span<const Value> before;
  std::span<const Value> after;
};

struct Delete {
  std::uint32_t relation = 0;
  OldTuple old = OldTuple::kNone;
  std::span<const Value> before;
};

struct Truncate {
  std::span<const std::uint32_t> relations;
};

// A message of pg_logical_emit_message().
struct Message {
  bool transactional = false;
  Lsn lsn{};
  std::string_view prefix;
  std::string_view content;
};

// A message that says nothing to us: a type's name, an origin.
struct Ignored {};

using Event = std::variant<Ignored, Begin, Commit, Relation, Insert, Update, Delete, Truncate, Message>;

// Keeps the lists that an event's spans point to. Used by one thread.
class Decoder {
 public:
  // The event is valid until the next call. Throws Error(kSourceProtocol) for bytes of another form.
  Event decode(std::string_view message);

 private:
  std::vector<RelationColumn> columns_;
  std::vector<Value> before_;
  std::vector<Value> after_;
  std::vector<std::uint32_t> relations_;
};

}  // namespace ferry::postgres::pgoutput
