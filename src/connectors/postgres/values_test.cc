#include "connectors/postgres/values.h"

#include <gtest/gtest.h>

#include <string>

#include "connectors/postgres/types.h"

namespace ferry::postgres {
namespace {

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

// From PostgreSQL 15: SELECT encode(numeric_send('…'::numeric), 'hex'), '…'::numeric::text.
TEST(BinaryNumericTest, PrintsAsTheServerDoes) {
  struct {
    const char* hex;
    const char* text;
  } const cases[] = {
      {"000c000100000027000c0d801ed204d2162e23340d801ed204d2162e23340d7a",
       "123456.789012345678901234567890123456789012345"},
      {"0001fffe4000000503e8", "-0.00001"},
      {"0000000000000003", "0.000"},
      {"00010001000000040001", "10000.0000"},
      {"00010000000000000064", "100"},
      {"0000000000000000", "0"},
      {"000200010000000004d2162e", "12345678"},
      {"00000000c0000000", "NaN"},
      {"00000000d0000000", "Infinity"},
      {"00000000f0000000", "-Infinity"},
  };
  for (const auto& each : cases) {
    std::string bytes = bytes_of(each.hex);
    auto numeric = BinaryNumeric::parse(bytes);
    ASSERT_TRUE(numeric) << each.text;
    std::string text;
    numeric->append_text(text);
    EXPECT_EQ(text, each.text);
  }
}

TEST(BinaryNumericTest, GivesDecimalsOnlyWhereNoDigitIsLost) {
  auto at = [](const char* hex, int scale) {
    std::string bytes = bytes_of(hex);
    auto value = BinaryNumeric::parse(bytes)->to_decimal(scale);
    return value ? decimal_text(*value, scale) : "none";
  };
  EXPECT_EQ(at("0003000140000002000c0d801b58", 2), "-123456.70");
  EXPECT_EQ(at("0001ffff000000020064", 2), "0.01");
  EXPECT_EQ(at("0001ffff000000020064", 1), "none");
  EXPECT_EQ(at("0000000000000000", 38), "0." + std::string(38, '0'));
  EXPECT_EQ(at("00010000000000000001", 37), "1." + std::string(37, '0'));
  EXPECT_EQ(at("00010000000000000001", 38), "none");
  EXPECT_EQ(at("00000000c0000000", 2), "none");
  EXPECT_EQ(at("0001001900000000000a", 0), "none");
}

TEST(BinaryNumericTest, RefusesOtherBytes) {
  for (const char* hex : {"", "0000", "0001000000000000", "00000000123400000000", "0000000012340000"}) {
    EXPECT_FALSE(BinaryNumeric::parse(bytes_of(hex))) << hex;
  }
}

TEST(ValuesTest, ReadsDecimalsFromText) {
  auto at = [](const char* text, int scale) {
    auto value = decimal_of_text(text, scale);
    return value ? decimal_text(*value, scale) : "none";
  };
  EXPECT_EQ(at("-123456.70", 2), "-123456.70");
  EXPECT_EQ(at("5", 3), "5.000");
  EXPECT_EQ(at("0.5", 0), "none");
  EXPECT_EQ(at("99999999999999999999999999999999999999", 0), "99999999999999999999999999999999999999");
  EXPECT_EQ(at("100000000000000000000000000000000000000", 0), "none");
  EXPECT_EQ(at("NaN", 2), "none");
  EXPECT_EQ(at("", 2), "none");
  EXPECT_EQ(at("-", 2), "none");
}

TEST(ValuesTest, ReadsMoney) {
  EXPECT_EQ(money_of_text("-$1,234.56"), -123456);
  EXPECT_EQ(money_of_text("$0.05"), 5);
  EXPECT_EQ(money_of_text("-$92,233,720,368,547,758.08"), std::numeric_limits<std::int64_t>::min());
  EXPECT_FALSE(money_of_text("$"));
  EXPECT_EQ(decimal_text(*decimal_of_money(-123456, 2, 4), 4), "-1234.5600");
  EXPECT_EQ(decimal_text(*decimal_of_money(5, 0, 4), 4), "5.0000");
}

TEST(ValuesTest, ReadsDatesOfAllEras) {
  EXPECT_EQ(date_of_text("1970-01-01"), 0);
  EXPECT_EQ(date_of_text("2000-02-29"), 11016);
  EXPECT_EQ(date_of_text("4713-01-01 BC"), -2440550);
  EXPECT_EQ(date_of_text("5874897-12-31"), 2145042905);
  for (const char* wrong :
       {"infinity", "-infinity", "", "2000-02", "2000-13-01", "2000-01-01 AD", "20000101"}) {
    EXPECT_FALSE(date_of_text(wrong)) << wrong;
  }
  for (std::int32_t days : {-2451507, -730120, -730119, -1, 0, 59, 60, 2145031583}) {
    std::string text = date_text(days);
    EXPECT_EQ(date_of_text(text), date_of_binary(days)) << text;
  }
}

TEST(ValuesTest, PrintsACharThatIsNoUtf8AsNewServersDo) {
  EXPECT_EQ(char_text('x'), "x");
  EXPECT_EQ(char_text('\0'), "");
  EXPECT_EQ(char_text('\xc8'), "\\310");
  EXPECT_EQ(char_text('\x80'), "\\200");
}

TEST(ValuesTest, ReadsTimesWithoutTheirZone) {
  EXPECT_EQ(time_of_text("00:00:00"), 0);
  EXPECT_EQ(time_of_text("23:59:59.999999"), kDayMicros - 1);
  EXPECT_EQ(time_of_text("12:34:56.789+05:30"), time_of_text("12:34:56.789"));
  EXPECT_EQ(time_of_text("00:00:00-15:59:59"), 0);
  EXPECT_FALSE(time_of_text("24:00:00"));
  EXPECT_FALSE(time_of_text("12:34"));
  EXPECT_EQ(time_text(kDayMicros), "24:00:00");
  EXPECT_EQ(time_zone_text(-19800), "+05:30");
  EXPECT_EQ(time_zone_text(0), "+00");
}

TEST(ValuesTest, KnowsWhichTimeStampsHaveNoCanonicalForm) {
  EXPECT_EQ(timestamp_of_text("1970-01-01 00:00:00"), 0);
  EXPECT_EQ(timestamp_of_text("1969-12-31 23:59:59.999999+00"), -1);
  EXPECT_EQ(timestamp_of_text("294247-01-10 04:00:54.775807"), std::numeric_limits<std::int64_t>::max());
  EXPECT_FALSE(timestamp_of_text("294247-01-10 04:00:54.775808"));
  EXPECT_FALSE(timestamp_of_text("infinity"));
  EXPECT_TRUE(timestamp_of_text("4713-01-01 00:00:00+00 BC"));
  EXPECT_EQ(timestamp_text(9223371331199999999), "294276-12-31 23:59:59.999999");
  EXPECT_FALSE(timestamp_of_binary(9223371331199999999));
}

TEST(TypesTest, WritesCellsBackAsTheServerReadsThem) {
  auto round_trip = [](Codec codec, model::LogicalType type, std::string_view text) {
    std::string scratch;
    TextValue value = text_reader(codec)({.codec = codec, .scale = type.scale}, text, scratch);
    return value.state == model::CellState::kValue ? cell_text(type, value.bytes) : "out of domain";
  };
  using model::TypeId;
  EXPECT_EQ(round_trip(Codec::kInt8, {TypeId::kInt8}, "-9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(round_trip(Codec::kFloat8, {TypeId::kReal8}, "0.1"), "0.1");
  EXPECT_EQ(round_trip(Codec::kNumeric, {.id = TypeId::kNumeric, .precision = 12, .scale = 2}, "-0.50"),
            "-0.50");
  EXPECT_EQ(round_trip(Codec::kDate, {TypeId::kDate}, "4713-01-01 BC"), "4713-01-01 BC");
  EXPECT_EQ(round_trip(Codec::kTimestamp, {TypeId::kDatetime}, "2024-02-29 12:00:00.5"),
            "2024-02-29 12:00:00.5+00");
  EXPECT_EQ(round_trip(Codec::kTimestampTz, {TypeId::kDatetime}, "0044-03-15 12:00:00+00 BC"),
            "0044-03-15 12:00:00+00 BC");
  EXPECT_EQ(round_trip(Codec::kBytea, {TypeId::kBlob}, "\\x00ff"), "\\x00ff");
  EXPECT_EQ(round_trip(Codec::kBytea, {TypeId::kBlob}, "\\x0"), "out of domain");
  EXPECT_EQ(round_trip(Codec::kInt4, {TypeId::kInt4}, "12x"), "out of domain");
  EXPECT_EQ(round_trip(Codec::kTrimmedText, {TypeId::kWstring}, " ab  "), " ab");
}

}  // namespace
}  // namespace ferry::postgres
