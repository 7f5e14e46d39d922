#include "mapping/name_pattern.h"

#include <gtest/gtest.h>

namespace ferry::mapping {
namespace {

bool matches(std::string_view pattern, std::string_view name) { return NamePattern(pattern).matches(name); }

TEST(NamePattern, PercentIsAnyNumberOfCharacters) {
  EXPECT_TRUE(matches("%", ""));
  EXPECT_TRUE(matches("%", "anything"));
  EXPECT_TRUE(matches("a%", "a"));
  EXPECT_TRUE(matches("%b%", "abc"));
  EXPECT_TRUE(matches("%ab", "aab"));
  EXPECT_TRUE(matches("a%b%c", "a--b-bc-c"));
  EXPECT_FALSE(matches("a%b", "abc"));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_TRUE(matches("", ""));
}

TEST(NamePattern, UnderscoreIsOneCharacter) {
  EXPECT_TRUE(matches("T_1", "T_1"));
  EXPECT_TRUE(matches("T_1", "TX1"));
  EXPECT_FALSE(matches("T_1", "T11a"));
  EXPECT_FALSE(matches("_", ""));
  EXPECT_TRUE(matches("_", "ü"));
  EXPECT_TRUE(matches("__", "日本"));
  EXPECT_TRUE(matches("_", "😀"));
}

TEST(NamePattern, BracketsAreAClass) {
  EXPECT_TRUE(matches("T[_]1", "T_1"));
  EXPECT_FALSE(matches("T[_]1", "TX1"));
  EXPECT_TRUE(matches("T[__]1", "T_1"));
  EXPECT_TRUE(matches("T[a-c]%", "Ta"));
  EXPECT_TRUE(matches("T[a-c]%", "Tbz"));
  EXPECT_FALSE(matches("T[a-c]%", "Td"));
  EXPECT_TRUE(matches("[ab]x", "bx"));
  EXPECT_TRUE(matches("[a-]", "-"));
  EXPECT_TRUE(matches("[%]", "%"));
  EXPECT_FALSE(matches("[%]", "a"));
  EXPECT_TRUE(matches("[^a]", "^"));
  EXPECT_TRUE(matches("[^a]", "a"));
  EXPECT_FALSE(matches("[^a]", "b"));
  EXPECT_TRUE(matches("[à-ü]", "é"));
}

TEST(NamePattern, BracketsWithoutAClassAreThemselves) {
  EXPECT_TRUE(matches("a[b", "a[b"));
  EXPECT_TRUE(matches("a[]b", "a[]b"));
  EXPECT_TRUE(matches("a]b", "a]b"));
}

TEST(NamePattern, CaseCounts) {
  EXPECT_TRUE(matches("Customer", "Customer"));
  EXPECT_FALSE(matches("Customer", "customer"));
}

TEST(NamePattern, ExactNamesHaveNoWildcards) {
  EXPECT_TRUE(NamePattern::exactly("order_[a]%").matches("order_[a]%"));
  EXPECT_FALSE(NamePattern::exactly("order_items").matches("orderXitems"));
}

TEST(NamePattern, BytesThatAreNotUtf8AreCharacters) {
  EXPECT_TRUE(matches("a\xff_", "a\xff\xc3"));
  EXPECT_FALSE(matches("\xff", "\xfe"));
  EXPECT_TRUE(matches("_", "\xe2"));
}

TEST(NamePattern, ManyPercentsAreQuick) {
  std::string pattern;
  for (int i = 0; i < 1000; ++i) pattern += "%a";
  EXPECT_FALSE(matches(pattern + "b", std::string(5000, 'a')));
}

}  // namespace
}  // namespace ferry::mapping
