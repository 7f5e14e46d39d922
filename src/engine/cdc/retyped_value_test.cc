#include "engine/cdc/retyped_value.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/bytes.h"

namespace ferry::engine {
namespace {

using model::LogicalType;
using model::TypeId;
__extension__ using Int128 = __int128;

constexpr LogicalType kText{.id = TypeId::kWstring, .length = 5};
constexpr LogicalType kNumber{.id = TypeId::kNumeric};

LogicalType numeric(std::int16_t precision, std::int16_t scale) {
  return {.id = TypeId::kNumeric, .precision = precision, .scale = scale};
}
LogicalType of_scale(TypeId id, std::int16_t scale) { return {.id = id, .scale = scale}; }

template <typename T>
std::string bytes(T value) {
  std::string made;
  base::append_native(made, value);
  return made;
}

std::optional<std::string> retyped(const LogicalType& from, const std::string& cell, const LogicalType& to) {
  std::string storage;
  auto value = retyped_value(from, cell, to, storage);
  if (!value) return std::nullopt;
  return std::string(*value);
}

TEST(RetypedValue, TextsAndBytesOfAnyLength) {
  EXPECT_EQ(retyped({.id = TypeId::kNclob}, "longer than five", kText), "longer than five");
  EXPECT_EQ(retyped({.id = TypeId::kBlob}, "\1", {.id = TypeId::kBytes}), "\1");
  EXPECT_EQ(retyped(kText, "x", {.id = TypeId::kBlob}), std::nullopt);
}

TEST(RetypedValue, WholeNumbersWithinTheirRange) {
  LogicalType int2{.id = TypeId::kInt2};
  LogicalType int8{.id = TypeId::kInt8};
  EXPECT_EQ(retyped(int8, bytes(std::int64_t{-32768}), int2), bytes(std::int16_t{-32768}));
  EXPECT_EQ(retyped(int8, bytes(std::int64_t{32768}), int2), std::nullopt);
  EXPECT_EQ(retyped(int2, bytes(std::int16_t{-1}), {.id = TypeId::kUint8}), std::nullopt);
  EXPECT_EQ(retyped({.id = TypeId::kUint8}, bytes(std::numeric_limits<std::uint64_t>::max()), kText),
            "18446744073709551615");
}

TEST(RetypedValue, DecimalsWithoutLosingADigit) {
  EXPECT_EQ(retyped(numeric(10, 2), bytes(Int128{150}), numeric(5, 1)), bytes(Int128{15}));
  EXPECT_EQ(retyped(numeric(10, 2), bytes(Int128{155}), numeric(5, 1)), std::nullopt);
  EXPECT_EQ(retyped(numeric(10, 0), bytes(Int128{1000}), numeric(5, 2)), std::nullopt)
      << "four digits before the point";
  EXPECT_EQ(retyped(numeric(10, 0), bytes(Int128{-999}), numeric(5, 2)), bytes(Int128{-99900}));
  Int128 seven = 7;
  for (int i = 0; i < 37; ++i) seven *= 10;
  EXPECT_EQ(retyped({.id = TypeId::kInt4}, bytes(std::int32_t{7}), numeric(38, 37)), bytes(seven));
  EXPECT_EQ(retyped({.id = TypeId::kInt4}, bytes(std::int32_t{70}), numeric(38, 37)), std::nullopt);
  EXPECT_EQ(retyped(numeric(5, 3), bytes(Int128{-5}), kText), "-0.005");
  EXPECT_EQ(retyped(kNumber, "12.50", numeric(5, 1)), bytes(Int128{125}));
  EXPECT_EQ(retyped(kNumber, std::string(60, '9'), numeric(38, 0)), std::nullopt);
  EXPECT_EQ(retyped(kNumber, std::string(60, '9'), kText), std::string(60, '9'));
}

TEST(RetypedValue, TextsThatAreNumbersAsTheyArePrinted) {
  LogicalType int4{.id = TypeId::kInt4};
  EXPECT_EQ(retyped(kText, "-42", int4), bytes(std::int32_t{-42}));
  for (const char* text :
       {"", "-", ".", "x", "042", "+1", "-0", "1.", "1 ", "1e3", "1.2.3", "1.5", "2147483648"}) {
    EXPECT_EQ(retyped(kText, text, int4), std::nullopt) << text;
  }
}

TEST(RetypedValue, PointsInTime) {
  LogicalType date{.id = TypeId::kDate};
  LogicalType datetime = of_scale(TypeId::kDatetime, 6);
  constexpr std::int64_t kDay = 86'400'000'000;
  EXPECT_EQ(retyped(date, bytes(std::int32_t{-1}), datetime), bytes(-kDay));
  EXPECT_EQ(retyped(date, bytes(std::numeric_limits<std::int32_t>::max()), datetime), std::nullopt);
  EXPECT_EQ(retyped(datetime, bytes(-kDay), date), bytes(std::int32_t{-1}));
  EXPECT_EQ(retyped(datetime, bytes(kDay + 1), date), std::nullopt);
  EXPECT_EQ(retyped(datetime, bytes(std::int64_t{1'000}), of_scale(TypeId::kDatetime, 3)),
            bytes(std::int64_t{1'000}));
  EXPECT_EQ(retyped(datetime, bytes(std::int64_t{1'001}), of_scale(TypeId::kDatetime, 3)), std::nullopt);
  EXPECT_EQ(retyped(of_scale(TypeId::kTime, 6), bytes(std::int64_t{1}), of_scale(TypeId::kTime, 0)),
            std::nullopt);
  EXPECT_EQ(retyped(of_scale(TypeId::kTime, 0), bytes(std::int64_t{0}), datetime), std::nullopt);
}

TEST(RetypedValue, RealsThatAreExact) {
  LogicalType real4{.id = TypeId::kReal4};
  LogicalType real8{.id = TypeId::kReal8};
  EXPECT_EQ(retyped(real4, bytes(0.1F), real8), bytes(static_cast<double>(0.1F)));
  EXPECT_EQ(retyped(real8, bytes(0.5), real4), bytes(0.5F));
  EXPECT_EQ(retyped(real8, bytes(0.1), real4), std::nullopt);
  EXPECT_EQ(retyped(real8, bytes(1e300), real4), std::nullopt);
  EXPECT_EQ(retyped(real8, bytes(-std::numeric_limits<double>::infinity()), real4),
            bytes(-std::numeric_limits<float>::infinity()));
  EXPECT_EQ(retyped(real8, bytes(1.0), {.id = TypeId::kInt4}), std::nullopt) << "no rule";
}

}  // namespace
}  // namespace ferry::engine
