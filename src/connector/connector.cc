#include "connector/connector.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ferry::connector {

const Connector& find_connector(const Registry& registry, std::string_view engine_name) {
  auto found = registry.find(engine_name);
  if (found != registry.end()) return *found->second;
  std::vector<std::string_view> known;
  for (const auto& [name, connector] : registry) known.push_back(name);
  throw base::Error(base::ErrorKind::kUnsupported,
                    {.message = fmt::format("no connector for EngineName '{}'", engine_name),
                     .remedy = fmt::format("Use one of: {}.", fmt::join(known, ", "))});
}

}  // namespace ferry::connector
