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

}  // namespace ferry::model
