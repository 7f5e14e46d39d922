#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "tests/support/memory/faults.h"
#include "tests/support/memory/memory_database.h"

namespace ferry::test_support {

// What each role of a MemorySource talks through: made at the role's first call, broken for good by
// MemoryDatabase::drop_connections(), and the place where faults strike.
class MemoryConnection {
 public:
  MemoryConnection(MemoryDatabase& database, Faults& faults) : database_(&database), faults_(&faults) {}

  MemoryDatabase& database() const { return *database_; }

  // Does `work` as the call `name`, which a fault may stop.
  template <typename Work>
  auto call(std::string_view name, std::stop_token stop, Work work) {
    require(name);
    return faults_->run(name, stop, [&] {
      require(name);
      return work();
    });
  }

  // Throws unless the connection stands.
  void require(std::string_view name) {
    if (generation_ == 0) {
      if (!database_->reachable()) {
        throw base::Error(base::ErrorKind::kSourceUnreachable, "the memory database cannot be reached");
      }
      generation_ = database_->connection_generation();
    }
    if (generation_ != database_->connection_generation()) {
      throw base::Error(base::ErrorKind::kSourceConnectionLost, std::string(name) + ": the connection broke");
    }
  }

 private:
  MemoryDatabase* database_;
  Faults* faults_;
  std::uint64_t generation_ = 0;
};

}  // namespace ferry::test_support
