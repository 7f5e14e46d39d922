#include "model/recovery_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ferry::model {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

// The waits before each retry until the task fails, at most `max` of them.
std::vector<std::int64_t> waits(const ErrorBehavior& behavior, Phase phase, std::size_t max = 50) {
  std::vector<std::int64_t> seconds;
  while (seconds.size() < max) {
    auto wait = wait_before_retry(behavior, static_cast<int>(seconds.size()), phase);
    if (!wait) break;
    seconds.push_back(wait->count());
  }
  return seconds;
}

TEST(RecoverySchedule, DefaultsGiveTheNineRetriesOfDms) {
  EXPECT_THAT(waits({}, Phase::kRunning), ElementsAre(5, 10, 20, 40, 80, 160, 320, 640, 1280));
  EXPECT_THAT(waits({}, Phase::kStarting), ElementsAre(5, 10, 20, 40, 80, 160));
}

TEST(RecoverySchedule, NinthRetryIsTheLastEvenWithoutTheStop) {
  ErrorBehavior behavior;
  behavior.recoverable_error_stop_retry_after_throttling_max = false;
  EXPECT_EQ(waits(behavior, Phase::kRunning).size(), 9u);
}

TEST(RecoverySchedule, CountIsANumberOfRetriesAndZeroIsNone) {
  ErrorBehavior behavior;
  behavior.recoverable_error_count = 0;
  EXPECT_THAT(waits(behavior, Phase::kRunning), IsEmpty());
  behavior.recoverable_error_count = 2;
  EXPECT_THAT(waits(behavior, Phase::kStarting), ElementsAre(5, 10));
}

TEST(RecoverySchedule, WithoutThrottlingEveryWaitIsTheInterval) {
  ErrorBehavior behavior;
  behavior.recoverable_error_throttling = false;
  behavior.recoverable_error_interval_s = 7;
  behavior.recoverable_error_count = 40;
  EXPECT_THAT(waits(behavior, Phase::kRunning), testing::AllOf(testing::SizeIs(40), Each(7)));
}

TEST(RecoverySchedule, WaitsAtTheMaximumUnlessItIsToStopThere) {
  ErrorBehavior behavior;
  behavior.recoverable_error_count = 6;
  behavior.recoverable_error_throttling_max_s = 20;
  EXPECT_THAT(waits(behavior, Phase::kRunning), ElementsAre(5, 10));
  behavior.recoverable_error_stop_retry_after_throttling_max = false;
  EXPECT_THAT(waits(behavior, Phase::kRunning), ElementsAre(5, 10, 20, 20, 20, 20));
}

TEST(RecoverySchedule, AnIntervalAboveTheMaximumStillRetriesOnce) {
  ErrorBehavior behavior;
  behavior.recoverable_error_interval_s = 3600;
  EXPECT_THAT(waits(behavior, Phase::kRunning), ElementsAre(1800));
}

TEST(RecoverySchedule, DoublingDoesNotOverflow) {
  ErrorBehavior behavior;
  behavior.recoverable_error_count = 2147483647;
  behavior.recoverable_error_stop_retry_after_throttling_max = false;
  EXPECT_EQ(wait_before_retry(behavior, 2147483646, Phase::kRunning)->count(), 1800);
  EXPECT_EQ(wait_before_retry(behavior, 61, Phase::kRunning)->count(), 1800);
  behavior.recoverable_error_interval_s = 0;
  EXPECT_EQ(wait_before_retry(behavior, 100, Phase::kRunning)->count(), 0);
}

}  // namespace
}  // namespace ferry::model
