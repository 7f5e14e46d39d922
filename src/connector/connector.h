#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "connector/source.h"
#include "connector/target.h"
#include "model/endpoint_settings.h"
#include "model/object_tag.h"

namespace ferry::connector {

// What the engine lends to a target for one task. Everything outlives the target.
struct TargetContext {
  TargetJournal& journal;
  base::Clock& clock;
  std::filesystem::path scratch;  // A folder of the task's own for files that need not survive it; it exists.
  // Requested when the task is asked to stop: what was accepted is still written, but nothing is tried again.
  std::stop_token stop = {};
  // The tags that a table's objects are to have; empty where no rule gives any. Thread-safe.
  std::function<std::vector<model::ObjectTag>(const model::TableName& table)> tags = {};
};

// One kind of endpoint. Stateless; any thread.
class Connector {
 public:
  virtual ~Connector() = default;

  virtual bool has_role(model::EndpointRole role) const = 0;

  // Called for a role that the engine has. Validates the endpoint's settings and makes no connection. Throws
  // Error(kDocumentInvalid, kSettingUnknown, kSettingConflict, kUnsupported).
  virtual std::unique_ptr<Source> open_source(const model::Endpoint& /*endpoint*/) const { return nullptr; }
  virtual std::unique_ptr<Target> open_target(const model::Endpoint& /*endpoint*/,
                                              const TargetContext& /*context*/) const {
    return nullptr;
  }
};

// The connectors by DMS's EngineName. Filled by connectors/registry.cc, handed on by main.
using Registry = std::map<std::string, std::unique_ptr<Connector>, std::less<>>;

// The endpoint's connector. Throws Error(kUnsupported) with the engines that have the role.
const Connector& find_connector(const Registry& registry, const model::Endpoint& endpoint,
                                model::EndpointRole role);

}  // namespace ferry::connector
