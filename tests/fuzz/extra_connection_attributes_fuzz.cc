#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model/endpoint_document.h"

namespace model = ferry::model;

// Any text is read; the attributes written out again are read as the same attributes.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto first = model::parse_extra_connection_attributes({reinterpret_cast<const char*>(data), size});
  std::string text;
  for (const auto& attribute : first.attributes) text += attribute.name + "=" + attribute.value + ";";
  auto second = model::parse_extra_connection_attributes(text);
  if (first.attributes.size() != second.attributes.size() || !second.warnings.empty()) std::abort();
  for (std::size_t i = 0; i < first.attributes.size(); ++i) {
    if (first.attributes[i].name != second.attributes[i].name) std::abort();
    if (first.attributes[i].value != second.attributes[i].value) std::abort();
  }
  return 0;
}
