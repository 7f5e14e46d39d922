#include "model/endpoint.h"

#include <fmt/format.h>

namespace ferry::model {

std::string to_string(const Endpoint& endpoint) {
  if (!endpoint.server_name.empty()) {
    return fmt::format("{} at {}:{}/{}", endpoint.engine_name, endpoint.server_name, endpoint.port,
                       endpoint.database_name);
  }
  if (!endpoint.endpoint_url.empty())
    return fmt::format("{} at {}", endpoint.engine_name, endpoint.endpoint_url);
  return endpoint.engine_name;
}

}  // namespace ferry::model
