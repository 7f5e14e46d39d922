#include "aws/retry_schedule.h"

#include <algorithm>

namespace ferry::aws {

std::chrono::milliseconds RetrySchedule::wait(int failed, double random) const {
  std::chrono::milliseconds whole = first_wait;
  for (int i = 1; i < failed && whole < longest_wait; ++i) whole *= 2;
  whole = std::min(whole, longest_wait);
  auto half = whole.count() / 2;
  return std::chrono::milliseconds(
      half + static_cast<std::int64_t>(static_cast<double>(whole.count() - half) * random));
}

}  // namespace ferry::aws
