#pragma once

#include "tests/support/memory/memory_connection.h"

namespace ferry::test_support {

class MemoryUnload : public connector::SourceUnload {
 public:
  MemoryUnload(MemoryDatabase& database, Faults& faults, std::size_t slices)
      : database_(database), faults_(faults), slices_(slices) {}

  std::unique_ptr<connector::TableUnload> begin(const connector::UnloadRequest& request,
                                                std::stop_token stop) override;

 private:
  MemoryDatabase& database_;
  Faults& faults_;
  std::size_t slices_;
};

}  // namespace ferry::test_support
