#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/task_definition.h"

namespace model = ferry::model;

// Any text is either refused with an Error, or gives a task with a fingerprint that does not differ from
// itself.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    auto fingerprint = model::definition_fingerprint(
        model::parse_task_document({reinterpret_cast<const char*>(data), size}));
    if (!model::differing_parts(fingerprint, fingerprint).empty()) std::abort();
  } catch (const ferry::base::Error& error) {
    if (error.kind() == ferry::base::ErrorKind::kInternal) std::abort();
  }
  return 0;
}
