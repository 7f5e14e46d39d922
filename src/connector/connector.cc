#include "connector/connector.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ferry::connector {

const Connector& find_connector(const Registry& registry, const model::Endpoint& endpoint,
                                model::EndpointRole role) {
  auto found = registry.find(endpoint.engine_name);
  if (found != registry.end() && found->second->has_role(role)) return *found->second;
  std::vector<std::string_view> fit;
  for (const auto& [name, connector] : registry) {
    if (connector->has_role(role)) fit.push_back(name);
  }
  throw base::Error(
      base::ErrorKind::kUnsupported,
      {.message = fmt::format("the {} endpoint '{}' has EngineName '{}', which Ferry does not know as a {}",
                              model::to_string(role), endpoint.identifier, endpoint.engine_name,
                              model::to_string(role)),
       .remedy = fmt::format("Use one of: {}.", fmt::join(fit, ", "))});
}

}  // namespace ferry::connector
