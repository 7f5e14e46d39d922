#include "base/one_line.h"

#include <gtest/gtest.h>

namespace ferry::base {
namespace {

TEST(OneLine, NoCharacterBreaksOrColoursTheLine) {
  EXPECT_EQ(one_line("a\nb\rc\td\x1b[31me\x7f"), "a\\nb\\rc\\td\\x1b[31me\\x7f");
}

TEST(OneLine, AllElseStays) { EXPECT_EQ(one_line(" großes 日本語 \\n \"x\" "), " großes 日本語 \\n \"x\" "); }

}  // namespace
}  // namespace ferry::base
