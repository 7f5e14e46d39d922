#include "base/channel.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace ferry::base {
namespace {

using namespace std::chrono_literals;
using Texts = Channel<std::string>;

constexpr auto kNow = 0ms;
constexpr auto kDeadline = 30s;

Texts::Pushed push(Texts& channel, std::string text, std::size_t bytes,
                   std::chrono::milliseconds timeout = kNow) {
  return channel.push(text, bytes, timeout, {});
}

}  // namespace

TEST(Channel, ItemsComeOutInOrder) {
  Texts channel(100);
  EXPECT_EQ(push(channel, "a", 10), Texts::Pushed::kYes);
  EXPECT_EQ(push(channel, "b", 20), Texts::Pushed::kYes);
  EXPECT_EQ(channel.bytes(), 30U);
  EXPECT_EQ(channel.pop(kNow, {}), "a");
  EXPECT_EQ(channel.pop(kNow, {}), "b");
  EXPECT_EQ(channel.bytes(), 0U);
  EXPECT_EQ(channel.pop(kNow, {}), std::nullopt);
  EXPECT_FALSE(channel.drained()) << "empty is not closed";
}

TEST(Channel, IsBoundedByBytes) {
  Texts channel(100);
  EXPECT_EQ(push(channel, "a", 60), Texts::Pushed::kYes);
  EXPECT_EQ(push(channel, "b", 40), Texts::Pushed::kYes) << "the bound itself is room";
  std::string kept = "c";
  EXPECT_EQ(channel.push(kept, 1, kNow, {}), Texts::Pushed::kTimedOut);
  EXPECT_EQ(kept, "c") << "an item that found no room is still the caller's";
  channel.pop(kNow, {});
  EXPECT_EQ(channel.push(kept, 1, kNow, {}), Texts::Pushed::kYes);
}

TEST(Channel, OneHugeItemIsLetIntoAnEmptyChannel) {
  Texts channel(100);
  EXPECT_EQ(push(channel, "huge", 1000), Texts::Pushed::kYes);
  EXPECT_EQ(push(channel, "b", 1), Texts::Pushed::kTimedOut);
  EXPECT_EQ(channel.pop(kNow, {}), "huge");
  EXPECT_EQ(push(channel, "b", 1), Texts::Pushed::kYes);
}

TEST(Channel, APushWaitsForRoomAndAPopForItems) {
  Texts channel(10);
  ASSERT_EQ(push(channel, "a", 10), Texts::Pushed::kYes);
  auto pushed = std::async(std::launch::async, [&] { return push(channel, "b", 10, kDeadline); });
  EXPECT_EQ(channel.pop(kDeadline, {}), "a");
  EXPECT_EQ(pushed.get(), Texts::Pushed::kYes);
  EXPECT_EQ(channel.pop(kNow, {}), "b");
  auto popped = std::async(std::launch::async, [&] { return channel.pop(kDeadline, {}); });
  EXPECT_EQ(push(channel, "c", 10), Texts::Pushed::kYes);
  EXPECT_EQ(popped.get(), "c");
}

TEST(Channel, ClosingLetsTheRestOutAndNothingIn) {
  Texts channel(100);
  ASSERT_EQ(push(channel, "a", 1), Texts::Pushed::kYes);
  channel.close();
  EXPECT_EQ(push(channel, "b", 1), Texts::Pushed::kClosed);
  EXPECT_FALSE(channel.drained());
  EXPECT_EQ(channel.pop(kNow, {}), "a");
  EXPECT_EQ(channel.pop(kDeadline, {}), std::nullopt) << "and at once";
  EXPECT_TRUE(channel.drained());
}

TEST(Channel, AnErrorComesOutAfterTheItemsAndTheFirstOneCounts) {
  Texts channel(100);
  ASSERT_EQ(push(channel, "a", 1), Texts::Pushed::kYes);
  channel.close(std::make_exception_ptr(std::runtime_error("broken")));
  channel.close();
  EXPECT_EQ(channel.pop(kNow, {}), "a");
  EXPECT_THROW(channel.pop(kNow, {}), std::runtime_error);
  EXPECT_THROW(channel.pop(kNow, {}), std::runtime_error) << "each time";
}

TEST(Channel, StopAndCloseWakeThoseWhoWait) {
  Texts full(1);
  ASSERT_EQ(push(full, "a", 1), Texts::Pushed::kYes);
  Texts empty(1);
  std::stop_source stop;
  auto pushed = std::async(std::launch::async, [&] {
    std::string text = "b";
    return full.push(text, 1, kDeadline, stop.get_token());
  });
  auto popped = std::async(std::launch::async, [&] { return empty.pop(kDeadline, stop.get_token()); });
  stop.request_stop();
  EXPECT_EQ(pushed.get(), Texts::Pushed::kClosed);
  EXPECT_EQ(popped.get(), std::nullopt);
  EXPECT_FALSE(empty.drained());

  auto waiting = std::async(std::launch::async, [&] { return empty.pop(kDeadline, {}); });
  empty.close();
  EXPECT_EQ(waiting.get(), std::nullopt);
}

TEST(Channel, TakesItemsThatCannotBeCopied) {
  Channel<std::unique_ptr<int>> channel(10);
  auto item = std::make_unique<int>(7);
  ASSERT_EQ(channel.push(item, 1, kNow, {}), Channel<std::unique_ptr<int>>::Pushed::kYes);
  EXPECT_EQ(**channel.pop(kNow, {}), 7);
}

TEST(Channel, NothingIsLostBetweenTwoThreads) {
  constexpr int kItems = 20000;
  Channel<int> channel(64);
  std::jthread writer([&] {
    for (int i = 0; i < kItems; ++i) {
      int item = i;
      ASSERT_EQ(channel.push(item, 8, kDeadline, {}), Channel<int>::Pushed::kYes);
    }
    channel.close();
  });
  int expected = 0;
  while (auto item = channel.pop(kDeadline, {})) ASSERT_EQ(*item, expected++);
  EXPECT_EQ(expected, kItems);
  EXPECT_TRUE(channel.drained());
}

}  // namespace ferry::base
