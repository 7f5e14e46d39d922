#include "formats/text_form.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>

#include "formats/object_writer.h"
#include "formats/test_rows.h"

namespace ferry::formats {
namespace {

template <typename Put, typename... Arguments>
std::string text_of(Put put, Arguments... arguments) {
  char text[1200];
  return {text, put(text, arguments...)};
}

template <typename Real>
std::string printed(Real value, int digits) {
  char text[64];
  int size = std::snprintf(text, sizeof text, "%+.*e", digits, static_cast<double>(value));
  return {text, static_cast<std::size_t>(size)};
}

constexpr int kRandomValues = 1'000'000;

TEST(RealText, EqualsPrintf) {
  std::mt19937_64 random(20211015);
  std::vector<double> values = {0.0,
                                -0.0,
                                1.0,
                                -1.0,
                                0.1,
                                506560,
                                -0.17687612999999999,
                                1e22,
                                1e23,
                                5e-324,
                                std::numeric_limits<double>::max(),
                                std::numeric_limits<double>::min(),
                                0.5,
                                9.9999999999999995e22,
                                123456789012345678.0};
  for (int i = 0; i < kRandomValues; ++i) {
    std::uint64_t bits = random();
    if (i % 4 == 1) bits &= 0x800FFFFFFFFFFFFF;  // Subnormal.
    values.push_back(std::bit_cast<double>(bits));
    // What people store: decimals with few digits.
    if (i % 4 == 2) values.back() = static_cast<double>(random() % 1'000'000'000) / 1000;
  }
  for (double value : values) {
    if (!std::isfinite(value)) continue;
    ASSERT_EQ(text_of(put_real8, value), printed(value, 16)) << std::hexfloat << value;
  }
}

TEST(RealText, SingleEqualsPrintf) {
  std::mt19937 random(20211015);
  for (int i = 0; i < kRandomValues; ++i) {
    auto bits = static_cast<std::uint32_t>(random());
    if (i % 4 == 1) bits &= 0x807FFFFF;
    auto value = std::bit_cast<float>(bits);
    if (!std::isfinite(value)) continue;
    ASSERT_EQ(text_of(put_real4, value), printed(value, 8)) << std::hexfloat << value;
  }
}

TEST(RealText, WhatPrintfHasNoPortableTextFor) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(text_of(put_real8, kInfinity), "Infinity");
  EXPECT_EQ(text_of(put_real8, -kInfinity), "-Infinity");
  EXPECT_EQ(text_of(put_real8, std::nan("")), "NaN");
  EXPECT_EQ(text_of(put_real8, -std::nan("")), "NaN");
  EXPECT_EQ(text_of(put_real4, std::numeric_limits<float>::quiet_NaN()), "NaN");
}

TEST(DecimalText, HasExactlyTheScalesDigits) {
  EXPECT_EQ(text_of(put_decimal, Int128{40}, 2), "0.40");
  EXPECT_EQ(text_of(put_decimal, Int128{2'400'000}, 2), "24000.00");
  EXPECT_EQ(text_of(put_decimal, Int128{-1}, 2), "-0.01");
  EXPECT_EQ(text_of(put_decimal, Int128{0}, 0), "0");
  EXPECT_EQ(text_of(put_decimal, Int128{0}, 3), "0.000");
  EXPECT_EQ(text_of(put_decimal, Int128{12}, 5), "0.00012");
  EXPECT_EQ(text_of(put_decimal, Int128{12}, -3), "12000");
  EXPECT_EQ(text_of(put_decimal, Int128{0}, -3), "0");
  EXPECT_EQ(text_of(put_decimal, Int128{7}, 1000), "0." + std::string(999, '0') + "7");
  Int128 smallest = static_cast<Int128>(1) << 126;
  smallest = -smallest - smallest;
  EXPECT_EQ(text_of(put_decimal, smallest, 0), "-170141183460469231731687303715884105728");
  EXPECT_EQ(text_of(put_decimal, smallest, 38), "-1.70141183460469231731687303715884105728");
  EXPECT_EQ(text_of(put_decimal, smallest, 39), "-0.170141183460469231731687303715884105728");
}

TEST(DecimalText, EqualsLongDivision) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 100'000; ++i) {
    Int128 value = static_cast<Int128>(random()) * static_cast<std::int64_t>(random());
    value >>= random() % 127;
    int scale = static_cast<int>(random() % 40);
    std::string digits;
    Int128 rest = value;
    for (int i_digit = 0; rest != 0 || i_digit <= scale; ++i_digit, rest /= 10) {
      if (i_digit == scale && scale > 0) digits += '.';
      digits += static_cast<char>('0' + std::abs(static_cast<int>(rest % 10)));
    }
    if (value < 0) digits += '-';
    std::ranges::reverse(digits);
    ASSERT_EQ(text_of(put_decimal, value, scale), digits);
  }
}

TEST(DateText, EqualsTheCalendar) {
  for (std::int32_t days = -719'162; days < 3'000'000; days += 13) {
    std::chrono::year_month_day day{std::chrono::sys_days(std::chrono::days(days))};
    char text[32];
    std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(day.year()),
                  static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
    ASSERT_EQ(text_of(put_date, days), text);
  }
}

TEST(DateText, YearsBeyondFourDigits) {
  EXPECT_EQ(text_of(put_date, std::int32_t{-719'162}), "0001-01-01");
  EXPECT_EQ(text_of(put_date, std::int32_t{-719'163}), "0001-12-31 BC");
  EXPECT_EQ(text_of(put_date, std::int32_t{-2'440'550}), "4713-01-01 BC");
  EXPECT_EQ(text_of(put_date, std::int32_t{2'932'897}), "10000-01-01");
  EXPECT_EQ(text_of(put_date, std::int32_t{2'145'042'905}), "5874897-12-31");
}

TEST(DatetimeText, HasExactlyTheScalesDigits) {
  constexpr std::int64_t kTime = 1'704'164'645'678'901;
  EXPECT_EQ(text_of(put_datetime, kTime, 0), "2024-01-02 03:04:05");
  EXPECT_EQ(text_of(put_datetime, kTime, 1), "2024-01-02 03:04:05.6");
  EXPECT_EQ(text_of(put_datetime, kTime, 3), "2024-01-02 03:04:05.678");
  EXPECT_EQ(text_of(put_datetime, kTime, 5), "2024-01-02 03:04:05.67890");
  EXPECT_EQ(text_of(put_datetime, kTime, 6), "2024-01-02 03:04:05.678901");
  EXPECT_EQ(text_of(put_datetime, std::int64_t{-1}, 6), "1969-12-31 23:59:59.999999");
  EXPECT_EQ(text_of(put_datetime, std::int64_t{-62'135'596'800'000'000}, 0), "0001-01-01 00:00:00");
  EXPECT_EQ(text_of(put_datetime, std::int64_t{9'223'371'244'800'000'000} - 1, 6),
            "294246-12-31 23:59:59.999999");
  EXPECT_EQ(text_of(put_datetime, std::numeric_limits<std::int64_t>::max(), 6),
            "294247-01-10 04:00:54.775807");
  EXPECT_EQ(text_of(put_datetime, std::numeric_limits<std::int64_t>::min(), 6),
            "290309-12-21 19:59:05.224192 BC");
  EXPECT_EQ(text_of(put_datetime, std::int64_t{-210'863'520'000'000'000}, 0), "4713-01-01 00:00:00 BC");
}

TEST(TimeText, HasSixDigitsOrNone) {
  constexpr std::int64_t kTime = 3'723'004'005;
  EXPECT_EQ(text_of(put_time, kTime, 0), "01:02:03");
  EXPECT_EQ(text_of(put_time, kTime, 3), "01:02:03.004005");
  EXPECT_EQ(text_of(put_time, kTime, 6), "01:02:03.004005");
}

TEST(CellText, ByType) {
  const auto text = [](model::LogicalType type, const std::string& bytes) {
    std::string out;
    append_cell_text(out, type, bytes);
    return out;
  };
  using model::TypeId;
  EXPECT_EQ(text({.id = TypeId::kBoolean}, native_bytes(true)), "1");
  EXPECT_EQ(text({.id = TypeId::kBoolean}, native_bytes(false)), "0");
  EXPECT_EQ(text({.id = TypeId::kInt8}, native_bytes(std::numeric_limits<std::int64_t>::min())),
            "-9223372036854775808");
  EXPECT_EQ(text({.id = TypeId::kUint8}, native_bytes(UINT64_MAX)), "18446744073709551615");
  EXPECT_EQ(text({.id = TypeId::kInt1}, native_bytes(std::int8_t{-128})), "-128");
  EXPECT_EQ(text({.id = TypeId::kUint1}, native_bytes(std::uint8_t{255})), "255");
  EXPECT_EQ(text({.id = TypeId::kBytes}, std::string("\x00\xab\x7f", 3)), "00AB7F");
  EXPECT_EQ(text({.id = TypeId::kNumeric}, "1.50"), "1.50");
}

TEST(TimestampText, AlwaysHas26Characters) {
  EXPECT_EQ(timestamp_text(1'704'164'645'678'000), "2024-01-02 03:04:05.678000");
  EXPECT_EQ(timestamp_text(0), "1970-01-01 00:00:00.000000");
}

TEST(RowKeyText, NamesTheKey) {
  TestTable table = employees({{cell(std::int32_t{7}), "A", "X"}});
  auto version = std::make_shared<model::TableVersion>(*table.version);
  version->key = {0, 1};
  table.version = version;
  model::RecordBatch batch = table.batch();
  EXPECT_EQ(row_key_text(batch, 0), "id=7, name=A");
  EXPECT_EQ(row_key_text(*version, TestTable::cells_of(table.rows[0])), "id=7, name=A");

  // 21 characters of three bytes fit; the 22nd is not cut in half.
  std::string euros;
  for (int i = 0; i < 30; ++i) euros += "€";
  table.rows[0][1] = euros;
  EXPECT_EQ(row_key_text(*version, TestTable::cells_of(table.rows[0])),
            "id=7, name=" + euros.substr(0, 63) + "…");

  version->key.clear();
  EXPECT_EQ(row_key_text(table.batch(), 0), "row 0 of its batch");
}

}  // namespace
}  // namespace ferry::formats
