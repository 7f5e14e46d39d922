#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "model/stream_position.h"

namespace ferry::model {

// Who and where a source transaction is in the log.
struct TransactionStamp {
  std::uint64_t id = 0;            // The source's own number of the transaction (PostgreSQL: top-level xid).
  StreamPosition commit_position;  // Orders transactions; strictly increasing in the stream.
  StreamPosition resume_position;  // Where capture starts to get every transaction after this one.
  base::UnixMicros commit_time = 0;
};

enum class Coverage : std::uint8_t {
  kInCopy,       // The unloaded rows contain the transaction.
  kAfterCopy,    // They do not; a later transaction may still be in the copy.
  kAlwaysAfter,  // They do not, nor any transaction that commits later: the mark has done its work.
};

// What an unloaded slice of a table already contains. It is what makes the load and the changes fit exactly
// while the engine knows no database. Immutable; any thread.
class SnapshotMark {
 public:
  virtual ~SnapshotMark() = default;

  virtual Coverage covers(const TransactionStamp& transaction) const = 0;
  // Readable, and read back by connector::Source::parse_mark().
  virtual std::string to_text() const = 0;
};

}  // namespace ferry::model
