#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "connectors/postgres/logged_row.h"
#include "connectors/postgres/position.h"

// The messages of the pgoutput plugin, protocol versions 1 and 2 (PostgreSQL manual, 55.9 "Logical
// Replication Message Formats"). Pure: bytes in, one message out, views into the bytes; safe on hostile
// bytes.
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

// A piece of a transaction that is still in progress: what follows up to StreamStop is of it.
struct StreamStart {
  std::uint32_t xid = 0;
};
struct StreamStop {};

struct StreamCommit {
  std::uint32_t xid = 0;
  Commit commit;
};

// The transaction was rolled back, or the subtransaction where the two differ.
struct StreamAbort {
  std::uint32_t xid = 0;
  std::uint32_t subxid = 0;
};

// A table as all that follows shows it; within a streamed piece, as that transaction sees it.
struct Description {
  Relation relation;
  std::string_view bytes;  // What it was read from: equal descriptions have equal bytes.
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

using Event = std::variant<Ignored, Begin, Commit, StreamStart, StreamStop, StreamCommit, StreamAbort,
                           Description, Insert, Update, Delete, Truncate, Message>;

// Keeps the lists that an event's spans point to, and whether the messages are those of a streamed piece.
// Used by one thread.
class Decoder {
 public:
  // The event is valid until the next call. Throws Error(kSourceProtocol) for bytes of another form.
  Event decode(std::string_view message);
  // The transaction of the last message, or its subtransaction; 0 outside of streamed pieces.
  std::uint32_t streamed_xid() const { return streamed_xid_; }

 private:
  bool in_piece_ = false;
  std::uint32_t streamed_xid_ = 0;
  std::vector<RelationColumn> columns_;
  std::vector<Value> before_;
  std::vector<Value> after_;
  std::vector<std::uint32_t> relations_;
};

}  // namespace ferry::postgres::pgoutput
