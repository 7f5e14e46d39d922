#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/endpoint_document.h"

namespace model = ferry::model;

// Any text is either refused with an Error, or gives an endpoint that a connector can read.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (auto role : {model::EndpointRole::kSource, model::EndpointRole::kTarget}) {
    try {
      auto document = model::parse_endpoint_document(text, role);
      if (document.endpoint.engine_name.empty()) std::abort();
      if (model::find_engine_settings(document.endpoint.engine_name))
        model::SettingReader(document.endpoint, role).fixed_between_runs();
    } catch (const ferry::base::Error& error) {
      if (error.kind() == ferry::base::ErrorKind::kInternal) std::abort();
    }
  }
  return 0;
}
