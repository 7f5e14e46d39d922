#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/endpoint_settings.h"

// Decoding never makes a text longer, and leaves one without backslashes as it is.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto decoded = ferry::model::decode_delimiter(text);
  if (decoded.size() > text.size()) std::abort();
  if (text.find('\\') == std::string_view::npos && decoded != text) std::abort();
  return 0;
}
