#include "base/clock.h"

#include <gtest/gtest.h>

#include <future>

namespace ferry::base {

using namespace std::chrono_literals;

TEST(ManualClock, MovesOnlyWhenTold) {
  ManualClock clock(1000);
  auto before = clock.steady_now();
  EXPECT_EQ(clock.now(), 1000);
  clock.advance(3ms);
  EXPECT_EQ(clock.now(), 4000);
  EXPECT_EQ(clock.steady_now() - before, 3ms);
}

TEST(ManualClock, AClockThatIsSetJumpsWhileSteadyTimeDoesNot) {
  ManualClock clock(1000);
  auto before = clock.steady_now();
  clock.set_now(5);
  EXPECT_EQ(clock.now(), 5);
  EXPECT_EQ(clock.steady_now(), before);
}

TEST(ManualClock, WaitEndsWhenTheTimeHasPassed) {
  ManualClock clock(0);
  EXPECT_TRUE(clock.wait(0ms, {}));
  auto waited = std::async(std::launch::async, [&] { return clock.wait(10ms, {}); });
  // Two steps, of which the first may fall before the wait begins: together they are always enough.
  clock.advance(10ms);
  clock.advance(10ms);
  while (waited.wait_for(1ms) != std::future_status::ready) clock.advance(1ms);
  EXPECT_TRUE(waited.get());
}

TEST(ManualClock, AStepThatIsTooShortDoesNotEndAWait) {
  ManualClock clock(0);
  auto waited = std::async(std::launch::async, [&] { return clock.wait(10ms, {}); });
  clock.advance(9ms);
  EXPECT_EQ(waited.wait_for(50ms), std::future_status::timeout);
  clock.advance(10ms);
  EXPECT_TRUE(waited.get());
}

TEST(Clocks, StopEndsAWait) {
  std::stop_source stop;
  stop.request_stop();
  ManualClock manual(0);
  EXPECT_FALSE(manual.wait(1h, stop.get_token()));
  EXPECT_FALSE(Clock::real().wait(1h, stop.get_token()));

  std::stop_source later;
  auto waited = std::async(std::launch::async, [&] { return manual.wait(1h, later.get_token()); });
  later.request_stop();
  EXPECT_FALSE(waited.get());
}

TEST(RealClock, KeepsTime) {
  constexpr UnixMicros kYear2020 = 1577836800000000;
  EXPECT_GT(Clock::real().now(), kYear2020);
  auto before = Clock::real().steady_now();
  EXPECT_TRUE(Clock::real().wait(20ms, {}));
  EXPECT_GE(Clock::real().steady_now() - before, 20ms);
}

}  // namespace ferry::base
