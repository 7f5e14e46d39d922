#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/task_settings.h"

namespace model = ferry::model;

// Any text is either refused with an Error, or gives settings whose document reads back as the same settings.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (auto unknown_keys : {model::UnknownKeys::kRefuse, model::UnknownKeys::kKeep}) {
    model::TaskSettings settings;
    try {
      settings = model::parse_task_settings(text, unknown_keys);
    } catch (const ferry::base::Error&) {
      continue;
    }
    auto document = model::task_settings_json(settings);
    if (model::task_settings_json(model::parse_task_settings(document, unknown_keys)) != document)
      std::abort();
    model::stored_only_settings(settings);
    model::settings_fixed_between_runs(settings);
  }
  return 0;
}
