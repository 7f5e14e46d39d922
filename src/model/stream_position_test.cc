#include "model/stream_position.h"

#include <gtest/gtest.h>

namespace ferry::model {

TEST(StreamPosition, IsOrderedByTheBytesOfItsKey) {
  StreamPosition low("\x01\x00", "0/9");
  StreamPosition high("\x01\xFF", "0/A");
  EXPECT_LT(low, high);
  EXPECT_GT(StreamPosition("\x80", ""), StreamPosition("\x7F", "")) << "bytes are compared unsigned";
  EXPECT_LT(StreamPosition("a", ""), StreamPosition("ab", ""));
}

TEST(StreamPosition, KeysHoldZeroBytes) {
  StreamPosition zero(std::string("\0\0", 2), "0");
  StreamPosition one(std::string("\0\1", 2), "1");
  EXPECT_LT(zero, one);
  EXPECT_FALSE(zero.empty());
  EXPECT_EQ(one.key().size(), 2U);
}

TEST(StreamPosition, TheTextDoesNotCount) {
  EXPECT_EQ(StreamPosition("k", "one way"), StreamPosition("k", "another"));
  EXPECT_EQ(StreamPosition("k", "4AF/B0").text(), "4AF/B0");
}

TEST(StreamPosition, AnEmptyOneIsBeforeEveryOther) {
  EXPECT_TRUE(StreamPosition().empty());
  EXPECT_LT(StreamPosition(), StreamPosition(std::string(1, '\0'), ""));
  EXPECT_EQ(StreamPosition(), StreamPosition());
}

TEST(StreamPosition, NothingLiesBetweenAPlaceAndTheOneRightBehindIt) {
  StreamPosition nothing;
  StreamPosition least(std::string(8, '\0'), "0/0");
  StreamPosition next(std::string(7, '\0') + '\x01', "0/1");
  EXPECT_LT(nothing, nothing.just_after());
  EXPECT_LT(nothing.just_after(), least);
  EXPECT_LT(least, least.just_after());
  EXPECT_LT(least.just_after(), least.just_after().just_after());
  EXPECT_LT(least.just_after().just_after(), next);
}

}  // namespace ferry::model
