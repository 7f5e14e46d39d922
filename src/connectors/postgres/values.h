#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

// Single values of PostgreSQL's binary and text forms ↔ canonical values. Pure; shared by the readers of
// types.cc and copy_binary.cc, which is what makes load and changes agree.
namespace ferry::postgres {

__extension__ typedef __int128 Int128;

// The largest precision of a canonical NUMERIC.
inline constexpr int kDecimalDigitsMax = 38;

// PostgreSQL counts from 2000-01-01, canonical values from 1970-01-01.
inline constexpr std::int64_t kEpochDays = 10957;
inline constexpr std::int64_t kEpochMicros = kEpochDays * 86'400 * 1'000'000;
inline constexpr std::int64_t kDayMicros = std::int64_t{86'400} * 1'000'000;

// numeric_send's form (src/backend/utils/adt/numeric.c): count of base-10000 digits, weight of the first,
// sign, digits after the point, then the digits.
struct BinaryNumeric {
  enum class Sign : std::uint16_t {
    kPositive = 0x0000,
    kNegative = 0x4000,
    kNan = 0xC000,
    kInfinity = 0xD000,
    kMinusInfinity = 0xF000,
  };
  Sign sign = Sign::kPositive;
  std::int32_t weight = 0;
  std::int32_t display_scale = 0;
  std::int32_t digit_count = 0;
  const char* digits = nullptr;  // digit_count × 2 bytes in network byte order.

  // Nothing for bytes of another form.
  static std::optional<BinaryNumeric> parse(std::string_view bytes);

  bool is_finite() const { return sign == Sign::kPositive || sign == Sign::kNegative; }
  // The value × 10^scale; nothing where it is not finite, has more digits, or more than 38 in all.
  std::optional<Int128> to_decimal(int scale) const;
  // As the server prints it.
  void append_text(std::string& out) const;
};

// "-12.340" × 10^scale; nothing under the same conditions, or for other text.
std::optional<Int128> decimal_of_text(std::string_view text, int scale);
std::string decimal_text(Int128 value, int scale);

// A money value, stored in units of 10^-money_digits, at the canonical scale; nothing where digits would be
// lost.
std::optional<Int128> decimal_of_money(std::int64_t stored, int money_digits, int scale);
// "-$1,234.56", as lc_monetary=C prints the stored number of hundredths.
std::optional<std::int64_t> money_of_text(std::string_view text);

// Days since 1970-01-01 of a proleptic Gregorian date; year 0 is 1 BC.
std::int64_t days_of_date(std::int64_t year, unsigned month, unsigned day);

// Each nothing where the canonical form has no such value (infinity, 24:00:00, a time stamp after the year
// 294246).
std::optional<std::int32_t> date_of_binary(std::int32_t days);
std::optional<std::int64_t> time_of_binary(std::int64_t micros);
std::optional<std::int64_t> timestamp_of_binary(std::int64_t micros);
std::optional<std::int32_t> date_of_text(std::string_view text);
std::optional<std::int64_t> time_of_text(std::string_view text);       // An offset from UTC is left out.
std::optional<std::int64_t> timestamp_of_text(std::string_view text);  // With or without "+00".

// The text of a value without a canonical form, as the server prints it; `micros` and `days` as in the binary
// form.
std::string date_text(std::int32_t days);
std::string time_text(std::int64_t micros);
std::string time_zone_text(std::int32_t seconds_west);
std::string timestamp_text(std::int64_t micros);  // Without an offset.

// The one byte of a "char" as servers from 16 on print it: nothing for zero, "\\310" for what is not ASCII.
// Older ones print the byte itself, which is no UTF-8.
std::string char_text(char byte);

// 16 bytes → "00112233-4455-…"; `out` has 36 bytes of room.
void write_uuid(const char* bytes, char* out);

}  // namespace ferry::postgres
