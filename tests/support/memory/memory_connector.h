#pragma once

#include "connector/connector.h"
#include "tests/support/memory/memory_source.h"
#include "tests/support/memory/memory_target.h"

namespace ferry::test_support {

// The connector of EngineName "memory", for a registry of a test: every endpoint is the one database and the
// one storage it was made with, which outlive it. It knows no settings.
class MemoryConnector : public connector::Connector {
 public:
  struct Parts {
    MemoryDatabase* database = nullptr;  // Null: no source role.
    MemoryStorage* storage = nullptr;    // Null: no target role.
    Faults* faults = nullptr;
    MemorySourceOptions source = {};
    MemoryTargetOptions target = {};
  };
  explicit MemoryConnector(Parts parts) : parts_(std::move(parts)) {}

  bool has_role(model::EndpointRole role) const override;
  std::unique_ptr<connector::Source> open_source(const model::Endpoint& endpoint) const override;
  std::unique_ptr<connector::Target> open_target(const model::Endpoint& endpoint,
                                                 const connector::TargetContext& context) const override;

 private:
  Parts parts_;
};

}  // namespace ferry::test_support
