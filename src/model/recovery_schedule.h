#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "model/task_settings.h"

namespace ferry::model {

// Where a task was when a recoverable error hit it.
enum class Phase : std::uint8_t { kStarting, kRunning };

// How long to wait before the retry with this number, counted from 0 since the task last made progress;
// nothing when the task is to fail instead.
std::optional<std::chrono::seconds> wait_before_retry(const ErrorBehavior& behavior, int retry_number,
                                                      Phase phase);

}  // namespace ferry::model
