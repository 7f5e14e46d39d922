#include "tests/support/memory/memory_connector.h"

namespace ferry::test_support {
namespace {

using base::Error;
using base::ErrorKind;

void refuse_settings(const model::Endpoint& endpoint) {
  if (endpoint.settings.empty()) return;
  throw Error(ErrorKind::kSettingUnknown, "endpoint " + endpoint.identifier + ": unknown setting " +
                                              endpoint.settings.begin()->second.name);
}

}  // namespace

bool MemoryConnector::has_role(model::EndpointRole role) const {
  return role == model::EndpointRole::kSource ? parts_.database != nullptr : parts_.storage != nullptr;
}

std::unique_ptr<connector::Source> MemoryConnector::open_source(const model::Endpoint& endpoint) const {
  refuse_settings(endpoint);
  return std::make_unique<MemorySource>(*parts_.database, *parts_.faults, parts_.source);
}

std::unique_ptr<connector::Target> MemoryConnector::open_target(
    const model::Endpoint& endpoint, const connector::TargetContext& context) const {
  refuse_settings(endpoint);
  return std::make_unique<MemoryTarget>(*parts_.storage, context, *parts_.faults, parts_.target);
}

}  // namespace ferry::test_support
