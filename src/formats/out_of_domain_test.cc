#include "formats/out_of_domain.h"

#include <gtest/gtest.h>

#include <string>

#include "formats/text_form.h"

namespace ferry::formats {
namespace {

using Action = Ruling::Action;
using model::TypeId;

constexpr model::LogicalType kDatetime{.id = TypeId::kDatetime, .scale = 6};

std::string datetime_text(std::int64_t micros) {
  char text[kDatetimeTextMax];
  return {text, put_datetime(text, micros, 0)};
}

TEST(OutOfDomain, InfiniteTimestampsAreDmssConstants) {
  Ruling plus = rule_out_of_domain(Format::kCsv, kDatetime, "infinity");
  EXPECT_EQ(plus.action, Action::kText);
  EXPECT_EQ(plus.text, "9999-12-31 23:59:59");
  EXPECT_FALSE(plus.warning.empty());
  EXPECT_EQ(rule_out_of_domain(Format::kCsv, kDatetime, "-infinity").text, "4713-01-01 00:00:00 BC");

  Ruling minus = rule_out_of_domain(Format::kParquet, kDatetime, "-infinity");
  EXPECT_EQ(minus.action, Action::kMicros);
  EXPECT_EQ(datetime_text(minus.micros), kMinusInfinityDatetimeText);
  EXPECT_FALSE(minus.warning.empty());
  EXPECT_EQ(datetime_text(rule_out_of_domain(Format::kParquet, kDatetime, "infinity").micros),
            kPlusInfinityDatetimeText);
}

TEST(OutOfDomain, DaysBeyondTheCanonicalFormAreTextInCsv) {
  constexpr std::string_view kFar = "294276-12-31 23:59:59.999999";
  EXPECT_EQ(rule_out_of_domain(Format::kCsv, kDatetime, kFar).text, kFar);
  EXPECT_TRUE(rule_out_of_domain(Format::kCsv, kDatetime, kFar).warning.empty());
  EXPECT_EQ(rule_out_of_domain(Format::kParquet, kDatetime, kFar).action, Action::kRefuse);
  EXPECT_EQ(rule_out_of_domain(Format::kCsv, kDatetime, "0000-00-00 00:00:00").action, Action::kRefuse);
  EXPECT_EQ(rule_out_of_domain(Format::kCsv, kDatetime, "2020-00-15 10:00:00").action, Action::kRefuse);
}

TEST(OutOfDomain, WhatHasNoFormRefusesTheRow) {
  for (Format format : {Format::kCsv, Format::kParquet}) {
    for (std::string_view text : {"infinity", "-infinity", "0000-00-00"}) {
      EXPECT_EQ(rule_out_of_domain(format, {.id = TypeId::kDate}, text).action, Action::kRefuse) << text;
    }
    for (std::string_view text : {"NaN", "Infinity", "-Infinity"}) {
      EXPECT_EQ(rule_out_of_domain(format, {.id = TypeId::kNumeric}, text).action, Action::kRefuse) << text;
      EXPECT_EQ(rule_out_of_domain(format, {.id = TypeId::kNumeric, .precision = 8}, text).action,
                Action::kRefuse);
    }
    Ruling ruling = rule_out_of_domain(format, {.id = TypeId::kInt4}, "secret");
    EXPECT_EQ(ruling.action, Action::kRefuse);
    EXPECT_EQ(ruling.reason.find("secret"), std::string_view::npos);
  }
}

TEST(OutOfDomain, TheEndOfADayIsTextInCsv) {
  constexpr model::LogicalType kTime{.id = TypeId::kTime, .scale = 6};
  EXPECT_EQ(rule_out_of_domain(Format::kCsv, kTime, "24:00:00").text, "24:00:00");
  EXPECT_EQ(rule_out_of_domain(Format::kCsv, kTime, "24:00:00-03:30").text, "24:00:00");
  EXPECT_EQ(rule_out_of_domain(Format::kParquet, kTime, "24:00:00").action, Action::kRefuse);
  EXPECT_EQ(rule_out_of_domain(Format::kCsv, kTime, "838:59:59").action, Action::kRefuse);
}

}  // namespace
}  // namespace ferry::formats
