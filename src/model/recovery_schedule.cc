#include "model/recovery_schedule.h"

#include <algorithm>
#include <limits>

namespace ferry::model {
namespace {

// What RecoverableErrorCount = -1 stands for (AWS DMS user guide, "Error handling task settings").
constexpr int kRetriesRunning = 9;
constexpr int kRetriesStarting = 6;

std::int64_t retries_max(const ErrorBehavior& behavior, Phase phase) {
  if (behavior.recoverable_error_count >= 0) return behavior.recoverable_error_count;
  return phase == Phase::kRunning ? kRetriesRunning : kRetriesStarting;
}

// interval · 2^doublings, or the largest number where that is larger.
std::int64_t doubled(std::int64_t interval, int doublings) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  if (interval == 0) return 0;
  if (doublings >= 63 || interval > (kMax >> doublings)) return kMax;
  return interval << doublings;
}

}  // namespace

std::optional<std::chrono::seconds> wait_before_retry(const ErrorBehavior& behavior, int retry_number,
                                                      Phase phase) {
  if (retry_number >= retries_max(behavior, phase)) return std::nullopt;

  std::int64_t interval = behavior.recoverable_error_interval_s;
  if (!behavior.recoverable_error_throttling) return std::chrono::seconds(interval);

  std::int64_t wait = doubled(interval, retry_number);
  std::int64_t wait_max = behavior.recoverable_error_throttling_max_s;
  // The first retry is made in any case: an interval above the maximum does not mean never.
  bool at_max = wait >= wait_max && retry_number > 0;
  if (at_max && behavior.recoverable_error_stop_retry_after_throttling_max) return std::nullopt;
  return std::chrono::seconds(std::min(wait, wait_max));
}

}  // namespace ferry::model
