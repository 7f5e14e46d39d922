#pragma once

#include "tests/support/memory/memory_connection.h"

namespace ferry::test_support {

class MemoryLookup : public connector::SourceLookup {
 public:
  explicit MemoryLookup(MemoryConnection connection) : connection_(connection) {}

  std::optional<std::vector<model::Cell>> find(const Wanted& wanted, std::stop_token stop) override;

 private:
  MemoryConnection connection_;
  Row found_;  // What the cells of the last answer look at.
};

}  // namespace ferry::test_support
