#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot_mark.h"
#include "model/stream_position.h"

namespace ferry::postgres {

// A byte position in the server's write-ahead log (pg_lsn). 0 is no position.
enum class Lsn : std::uint64_t {};

constexpr std::uint64_t number_of(Lsn lsn) { return static_cast<std::uint64_t>(lsn); }

// "4AF/B00000D0".
std::string to_string(Lsn lsn);
// Nothing for text of another form.
std::optional<Lsn> parse_lsn(std::string_view text);

// The key is the number in network byte order, so that keys compare as the numbers do.
model::StreamPosition position_of(Lsn lsn);
// Throws Error(kStateUnusable) for a position of another source's kind.
Lsn lsn_of(const model::StreamPosition& position);

// A start position as DMS writes it: "4AF/B00000D0", or "checkpoint:V1#1#000004AF/B00000D0#0#0#*#0#0", where
// field 3 is the position. Throws Error(kDocumentInvalid).
Lsn parse_start_position(std::string_view text);

// What one snapshot sees (PostgreSQL manual, 9.27.8 "Transaction ID and Snapshot Information Functions"):
// every transaction below xmin, and those below xmax that are not in xip. All three are 64-bit numbers with
// the epoch.
struct Snapshot {
  std::uint64_t xmin = 0;
  std::uint64_t xmax = 0;
  std::vector<std::uint64_t> xip;  // Ascending.

  // "10:20:10,14,15", as pg_current_snapshot() prints it. Nothing for other text.
  static std::optional<Snapshot> parse(std::string_view text);
  std::string to_text() const;

  // Whether the transaction that the log calls `xid` had ended when the snapshot was taken. The log's number
  // has 32 bits; it stands for the 64-bit number nearest to xmax, because no two live transactions are 2^31
  // apart.
  bool sees(std::uint32_t xid) const;
};

// The mark of an unloaded table: the snapshot, and a log position that no transaction it sees commits after.
class PostgresMark final : public model::SnapshotMark {
 public:
  PostgresMark(Snapshot snapshot, Lsn high) : snapshot_(std::move(snapshot)), high_(high) {}

  // Throws Error(kStateUnusable) for text that to_text() did not write.
  static std::shared_ptr<const PostgresMark> parse(std::string_view text);

  model::Coverage covers(const model::TransactionStamp& transaction) const override;
  // "10:20:10,14,15@4AF/B00000D0".
  std::string to_text() const override;

 private:
  Snapshot snapshot_;
  Lsn high_;
};

}  // namespace ferry::postgres
