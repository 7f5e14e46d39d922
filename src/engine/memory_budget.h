#pragma once

#include <cstdint>

#include "model/task_settings.h"

namespace ferry::engine {

// How a task's memory is shared out, in bytes. One huge value may add three times its size to any of them.
// Loads and changes are not at work at the same time, so each may take the whole.
struct MemoryBudget {
  std::int64_t load_slice = 0;    // One slice's batch and what its target load holds.
  std::int64_t change_queue = 0;  // Between capture and sorter.
  std::int64_t sorter = 0;
  std::int64_t apply = 0;

  // MemoryLimitTotal counts where the user's document names it; DMS's default is larger than a task needs.
  static MemoryBudget of(const model::TaskSettings& settings, std::int64_t load_slices);
};

}  // namespace ferry::engine
