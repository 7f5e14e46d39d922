#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "model/snapshot_mark.h"
#include "tests/support/memory/memory_database.h"

namespace ferry::test_support {

// A mark that goes by the numbers of transactions, as visibility does: a transaction that commits earlier
// than another in the log may be missing from a copy that has the other.
class MemoryMark : public model::SnapshotMark {
 public:
  explicit MemoryMark(MemorySnapshot snapshot) : snapshot_(std::move(snapshot)) {}

  // Null for text that to_text() did not write.
  static std::shared_ptr<const MemoryMark> parse(std::string_view text);

  model::Coverage covers(const model::TransactionStamp& transaction) const override;
  // "next:in progress,…:end of the log"
  std::string to_text() const override;

 private:
  MemorySnapshot snapshot_;
};

}  // namespace ferry::test_support
