#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "aws/profile_file.h"

namespace aws = ferry::aws;

// Any text gives profiles; no name or value has a line's end or a blank at its ends.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (auto kind : {aws::ProfileFileKind::kCredentials, aws::ProfileFileKind::kConfig}) {
    for (const auto& [name, profile] : aws::parse_profiles(text, kind)) {
      for (const auto& [setting, value] : profile) {
        for (std::string_view part : {std::string_view(setting), std::string_view(value)}) {
          if (part.find('\n') != std::string_view::npos) std::abort();
          if (part.starts_with(' ') || part.ends_with(' ')) std::abort();
        }
      }
    }
  }
  return 0;
}
