#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "connector/source.h"
#include "tests/support/memory/faults.h"
#include "tests/support/memory/memory_database.h"

namespace ferry::test_support {

// How a capture orders what it yields.
enum class CaptureOrder : std::uint8_t {
  kCommitOrder,  // Each transaction whole, when it has committed; rolled back ones never.
  kLogOrder,     // As the log has it: open transactions interleave, and some are rolled back in the end.
};

// What a stamp's resume position says.
enum class ResumeAt : std::uint8_t {
  kCommit,                 // Right after the transaction: nothing is yielded twice.
  kOldestOpenTransaction,  // Where the oldest transaction then open begins: those between are yielded again.
};

struct MemorySourceOptions {
  CaptureOrder order = CaptureOrder::kCommitOrder;
  ResumeAt resume_at = ResumeAt::kCommit;
  std::size_t slices = 1;
  // prepare() waits for transactions that are open when it is called, as PostgreSQL does.
  bool prepare_waits = false;
  // A capture that neither reads nor keeps alive for longer is cut off; 0 = never. By the database's clock.
  std::chrono::milliseconds idle_timeout{0};
  // The least time between two heartbeats, by the database's clock.
  std::chrono::milliseconds heartbeat_interval{0};
  // A source that is idle says so after this time, or after the caller's where that is shorter.
  std::chrono::milliseconds idle_wait_max{500};
};

// The source connector over a MemoryDatabase. Names of calls for Faults: source.check, catalog.tables,
// catalog.describe, unload.begin, unload.open_slice, slice.next, capture.prepare, capture.verify,
// capture.start, capture.next, capture.keep_alive, capture.clean, lookup.find.
class MemorySource : public connector::Source {
 public:
  MemorySource(MemoryDatabase& database, Faults& faults, MemorySourceOptions options = {})
      : database_(database), faults_(faults), options_(options) {}

  std::vector<connector::Prerequisite> check(bool with_capture, std::stop_token stop) override;
  std::unique_ptr<connector::SourceCatalog> catalog() override;
  std::unique_ptr<connector::SourceUnload> unload() override;
  std::unique_ptr<connector::SourceCapture> capture(connector::TaskNotes& notes) override;
  std::unique_ptr<connector::SourceLookup> lookup() override;
  std::shared_ptr<const model::SnapshotMark> parse_mark(std::string_view text) const override;

 private:
  MemoryDatabase& database_;
  Faults& faults_;
  MemorySourceOptions options_;
};

}  // namespace ferry::test_support
