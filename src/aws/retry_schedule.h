#pragma once

#include <chrono>

namespace ferry::aws {

// When a request that failed for a reason that may pass is sent again: waits that double, each shortened at
// random so that those who failed together do not come back together.
struct RetrySchedule {
  int attempts_max = 10;
  // While the service has never answered: a wrong address is found out quickly.
  int first_contact_attempts_max = 3;
  std::chrono::milliseconds first_wait{100};
  std::chrono::milliseconds longest_wait{20000};

  // The wait after `failed` attempts, from 1; `random` is from 0 to 1: between half the doubled wait and all
  // of it.
  std::chrono::milliseconds wait(int failed, double random) const;
};

}  // namespace ferry::aws
