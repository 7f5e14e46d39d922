#include "formats/text_form.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

namespace ferry::formats {
namespace {

__extension__ using Uint128 = unsigned __int128;

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;

// "00" to "99", one after another.
constexpr auto kPairs = [] {
  std::array<char, 200> pairs{};
  for (std::size_t i = 0; i < 100; ++i) {
    pairs[2 * i] = static_cast<char>('0' + i / 10);
    pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return pairs;
}();

constexpr auto kHexPairs = [] {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::array<char, 512> pairs{};
  for (std::size_t i = 0; i < 256; ++i) {
    pairs[2 * i] = kDigits[i / 16];
    pairs[2 * i + 1] = kDigits[i % 16];
  }
  return pairs;
}();

constexpr auto kPowersOfTen = [] {
  std::array<std::uint64_t, 20> powers{};
  powers[0] = 1;
  for (std::size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

char* put(char* at, std::string_view text) { return at + text.copy(at, text.size()); }

char* put_pair(char* at, unsigned value) {
  std::memcpy(at, kPairs.data() + 2 * std::size_t{value}, 2);
  return at + 2;
}

// Exactly `digits` digits of a value that has no more.
char* put_padded(char* at, std::uint64_t value, int digits) {
  char* end = at + digits;
  char* back = end;
  for (; digits >= 2; digits -= 2, value /= 100) put_pair(back -= 2, static_cast<unsigned>(value % 100));
  if (digits == 1) *--back = static_cast<char>('0' + value % 10);
  return end;
}

// The digits of an unscaled value with a point `scale` digits from the right.
char* put_pointed(char* at, std::string_view digits, std::size_t scale) {
  if (digits.size() > scale) {
    at = put(at, digits.substr(0, digits.size() - scale));
  } else {
    *at++ = '0';
  }
  *at++ = '.';
  std::size_t zeros = digits.size() < scale ? scale - digits.size() : 0;
  std::memset(at, '0', zeros);
  at += zeros;
  return put(at, digits.substr(digits.size() > scale ? digits.size() - scale : 0));
}

char* put_wide(char* at, Uint128 value) {
  constexpr std::uint64_t kChunk = kPowersOfTen[19];
  if (value <= UINT64_MAX) return put_unsigned(at, static_cast<std::uint64_t>(value));
  Uint128 high = value / kChunk;
  at = put_wide(at, high);
  return put_padded(at, static_cast<std::uint64_t>(value - high * kChunk), 19);
}

template <typename Real>
char* put_real(char* at, Real value, int digits) {
  if (!std::isfinite(value)) {
    if (std::isnan(value)) return put(at, kNanText);
    return put(at, value > 0 ? kPlusInfinityText : kMinusInfinityText);
  }
  if (!std::signbit(value)) *at++ = '+';
  return std::to_chars(at, at + kRealTextMax, value, std::chars_format::scientific, digits).ptr;
}

struct CivilDay {
  std::int64_t year;  // Astronomical: 0 is 1 BC.
  unsigned month;
  unsigned day;
};

// Days since 1970-01-01 in the proleptic Gregorian calendar; Howard Hinnant's civil_from_days, which counts
// 400-year eras of years that begin in March.
CivilDay civil_day(std::int64_t days) {
  days += 719'468;
  std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  auto day_of_era = static_cast<unsigned>(days - era * 146'097);
  unsigned year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned shifted_month = (5 * day_of_year + 2) / 153;
  unsigned day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {.year = era * 400 + year_of_era + (month <= 2 ? 1 : 0), .month = month, .day = day};
}

// The date without the era's mark, which stands behind the time of day.
char* put_civil_day(char* at, const CivilDay& day) {
  auto year = static_cast<std::uint64_t>(day.year > 0 ? day.year : 1 - day.year);
  if (year < 10'000) {
    at = put_pair(at, static_cast<unsigned>(year / 100));
    at = put_pair(at, static_cast<unsigned>(year % 100));
  } else {
    at = put_unsigned(at, year);
  }
  *at++ = '-';
  at = put_pair(at, day.month);
  *at++ = '-';
  return put_pair(at, day.day);
}

char* put_era(char* at, const CivilDay& day) { return day.year > 0 ? at : put(at, " BC"); }

char* put_time_of_day(char* at, std::int64_t micros, int digits) {
  auto seconds = static_cast<unsigned>(micros / kMicrosPerSecond);
  at = put_pair(at, seconds / 3'600);
  *at++ = ':';
  at = put_pair(at, seconds / 60 % 60);
  *at++ = ':';
  at = put_pair(at, seconds % 60);
  if (digits == 0) return at;
  *at++ = '.';
  auto fraction = static_cast<std::uint64_t>(micros % kMicrosPerSecond);
  return put_padded(at, fraction / kPowersOfTen[static_cast<std::size_t>(6 - digits)], digits);
}

}  // namespace

char* put_integer(char* at, std::int64_t value) { return std::to_chars(at, at + kIntegerTextMax, value).ptr; }

char* put_unsigned(char* at, std::uint64_t value) {
  return std::to_chars(at, at + kIntegerTextMax, value).ptr;
}

char* put_decimal(char* at, Int128 unscaled, int scale) {
  auto value = static_cast<Uint128>(unscaled);
  if (unscaled < 0) {
    *at++ = '-';
    value = -value;
  }
  if (scale > 0 && scale < 20 && value <= UINT64_MAX) {
    auto narrow = static_cast<std::uint64_t>(value);
    std::uint64_t power = kPowersOfTen[static_cast<std::size_t>(scale)];
    at = put_unsigned(at, narrow / power);
    *at++ = '.';
    return put_padded(at, narrow % power, scale);
  }
  std::array<char, 40> digits;
  std::string_view text(digits.data(),
                        static_cast<std::size_t>(put_wide(digits.data(), value) - digits.data()));
  if (scale > 0) return put_pointed(at, text, static_cast<std::size_t>(scale));
  at = put(at, text);
  if (scale == 0 || unscaled == 0) return at;
  std::memset(at, '0', static_cast<std::size_t>(-scale));
  return at - scale;
}

char* put_real8(char* at, double value) { return put_real(at, value, kReal8Digits); }

char* put_real4(char* at, float value) { return put_real(at, value, kReal4Digits); }

char* put_date(char* at, std::int32_t days) {
  CivilDay day = civil_day(days);
  return put_era(put_civil_day(at, day), day);
}

char* put_time(char* at, std::int64_t micros, int scale) {
  return put_time_of_day(at, micros, scale > 0 ? kTimeFractionDigits : 0);
}

char* put_datetime(char* at, std::int64_t micros, int digits) {
  std::int64_t days = micros / kMicrosPerDay;
  std::int64_t rest = micros % kMicrosPerDay;
  if (rest < 0) {
    rest += kMicrosPerDay;
    --days;
  }
  CivilDay day = civil_day(days);
  at = put_civil_day(at, day);
  *at++ = ' ';
  return put_era(put_time_of_day(at, rest, digits), day);
}

char* put_hex(char* at, std::string_view bytes) {
  for (char byte : bytes) {
    std::memcpy(at, kHexPairs.data() + 2 * std::size_t{static_cast<unsigned char>(byte)}, 2);
    at += 2;
  }
  return at;
}

bool has_finer_digits(std::int64_t micros, int digits) {
  return micros % static_cast<std::int64_t>(kPowersOfTen[static_cast<std::size_t>(6 - digits)]) != 0;
}

void append_cell_text(std::string& out, const model::LogicalType& type, std::string_view bytes) {
  with_text_form(type, [&](auto form) {
    auto value = cell_value<typename decltype(form)::Native>(bytes);
    std::size_t start = out.size();
    out.resize(start + form.text_max(value));
    out.resize(static_cast<std::size_t>(form.put(out.data() + start, value) - out.data()));
  });
}

}  // namespace ferry::formats
