#include "aws/retry_schedule.h"

#include <gtest/gtest.h>

namespace ferry::aws {
namespace {

TEST(RetrySchedule, DoublesAndIsBounded) {
  RetrySchedule schedule;
  const std::vector<std::int64_t> whole = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 20000, 20000};
  for (std::size_t failed = 1; failed <= whole.size(); ++failed) {
    EXPECT_EQ(schedule.wait(static_cast<int>(failed), 1.0).count(), whole[failed - 1]);
    EXPECT_EQ(schedule.wait(static_cast<int>(failed), 0.0).count(), whole[failed - 1] / 2);
  }
  EXPECT_EQ(schedule.wait(1, 0.5).count(), 75);
  EXPECT_EQ(schedule.wait(1000000, 1.0), schedule.longest_wait);
}

}  // namespace
}  // namespace ferry::aws
