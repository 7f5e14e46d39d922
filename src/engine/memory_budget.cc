#include "engine/memory_budget.h"

#include <algorithm>

namespace ferry::engine {
namespace {

constexpr std::int64_t kMegabyte = 1 << 20;
// A task's process is to stay within 256 MB; libraries, stacks and the allocator's slack take the rest.
constexpr std::int64_t kDefaultBytes = 160 * kMegabyte;
constexpr std::int64_t kLeastBytes = 32 * kMegabyte;

}  // namespace

MemoryBudget MemoryBudget::of(const model::TaskSettings& settings, std::int64_t load_slices) {
  std::int64_t total = kDefaultBytes;
  if (settings.named("ChangeProcessingTuning.MemoryLimitTotal")) {
    total = std::max(kLeastBytes, settings.tuning.memory_limit_total_mb * kMegabyte);
  }
  return {.load_slice = total / std::max<std::int64_t>(1, load_slices),
          .change_queue = total / 8,
          .sorter = total / 4,
          .apply = total / 2};
}

}  // namespace ferry::engine
