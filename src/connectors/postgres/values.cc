#include "connectors/postgres/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace ferry::postgres {
namespace {

constexpr std::int32_t kDayInfinity = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kDayMinusInfinity = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kMicrosInfinity = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMicrosMinusInfinity = std::numeric_limits<std::int64_t>::min();

constexpr auto kPowersOfTen = [] {
  std::array<Int128, kDecimalDigitsMax + 1> powers{};
  Int128 power = 1;
  for (Int128& entry : powers) {
    entry = power;
    if (&entry != &powers.back()) power *= 10;
  }
  return powers;
}();

bool times(Int128& value, Int128 factor) { return !__builtin_mul_overflow(value, factor, &value); }
bool plus(Int128& value, Int128 summand) { return !__builtin_add_overflow(value, summand, &value); }

// A cursor over a text of digits and separators.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end() const { return text_.empty(); }
  bool ok() const { return ok_; }
  bool take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view word) {
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  void expect(char c) { ok_ = take(c) && ok_; }

  // A number of at least `digits_min` and at most `digits_max` digits.
  std::int64_t number(int digits_min, int digits_max) {
    std::int64_t value = 0;
    int digits = 0;
    while (digits < digits_max && !text_.empty() && text_.front() >= '0' && text_.front() <= '9') {
      value = value * 10 + (text_.front() - '0');
      text_.remove_prefix(1);
      ++digits;
    }
    if (digits < digits_min) ok_ = false;
    return value;
  }

  // ".5" as 500000, nothing at all as 0.
  std::int64_t micros() {
    if (!take('.')) return 0;
    std::size_t before = text_.size();
    std::int64_t value = number(1, 6);
    for (auto digits = before - text_.size(); digits < 6; ++digits) value *= 10;
    return value;
  }

 private:
  std::string_view text_;
  bool ok_ = true;
};

struct Date {
  std::int64_t year = 0;
  unsigned month = 0;
  unsigned day = 0;
};

// The inverse of days_of_date(), after Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
Date date_of_days(std::int64_t days) {
  days += 719'468;
  std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  auto day_of_era = static_cast<unsigned>(days - era * 146'097);
  unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned shifted_month = (5 * day_of_year + 2) / 153;
  Date date;
  date.day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  date.month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  date.year = era * 400 + year_of_era + (date.month <= 2 ? 1 : 0);
  return date;
}

// "2024-02-29"; the era is told at the end of the whole text.
std::string ymd_text(const Date& date) {
  return fmt::format("{:04}-{:02}-{:02}", date.year > 0 ? date.year : 1 - date.year, date.month, date.day);
}
std::string_view era_text(const Date& date) { return date.year > 0 ? "" : " BC"; }

Date scan_date(Scanner& in) {
  Date date;
  date.year = in.number(4, 7);
  in.expect('-');
  date.month = static_cast<unsigned>(in.number(2, 2));
  in.expect('-');
  date.day = static_cast<unsigned>(in.number(2, 2));
  return date;
}

bool is_date(const Date& date) {
  return date.month >= 1 && date.month <= 12 && date.day >= 1 && date.day <= 31;
}

std::int64_t scan_time(Scanner& in) {
  std::int64_t hours = in.number(2, 2);
  in.expect(':');
  std::int64_t minutes = in.number(2, 2);
  in.expect(':');
  std::int64_t seconds = in.number(2, 2);
  return ((hours * 60 + minutes) * 60 + seconds) * 1'000'000 + in.micros();
}

// "+05", "-03:30", "+00:19:32": read and left out.
void skip_time_zone(Scanner& in) {
  if (!in.take('+') && !in.take('-')) return;
  in.number(2, 2);
  while (in.take(':')) in.number(2, 2);
}

}  // namespace

std::optional<BinaryNumeric> BinaryNumeric::parse(std::string_view bytes) {
  if (bytes.size() < 8) return std::nullopt;
  BinaryNumeric numeric;
  numeric.digit_count = base::load_big_endian<std::uint16_t>(bytes.data());
  numeric.weight = base::load_big_endian<std::int16_t>(bytes.data() + 2);
  numeric.sign = static_cast<Sign>(base::load_big_endian<std::uint16_t>(bytes.data() + 4));
  numeric.display_scale = base::load_big_endian<std::uint16_t>(bytes.data() + 6);
  numeric.digits = bytes.data() + 8;
  if (bytes.size() != 8 + 2 * static_cast<std::size_t>(numeric.digit_count)) return std::nullopt;
  if (numeric.display_scale > 0x3FFF) return std::nullopt;
  switch (numeric.sign) {
    case Sign::kPositive:
    case Sign::kNegative:
    case Sign::kNan:
    case Sign::kInfinity:
    case Sign::kMinusInfinity: return numeric;
  }
  return std::nullopt;
}

std::optional<Int128> BinaryNumeric::to_decimal(int scale) const {
  if (!is_finite()) return std::nullopt;
  Int128 value = 0;
  // 10^exponent is what the unit of the digit at hand stands for in the result.
  int exponent = 4 * weight + scale;
  int pending = 0;
  for (int i = 0; i < digit_count; ++i, exponent -= 4) {
    Int128 digit = base::load_big_endian<std::uint16_t>(digits + 2 * i);
    if (digit == 0 && exponent < 0) continue;
    if (exponent <= -4) return std::nullopt;
    if (exponent < 0) {
      // The last digit reaches behind the scale: what is there must be zero.
      Int128 cut = kPowersOfTen[static_cast<std::size_t>(-exponent)];
      if (digit % cut != 0) return std::nullopt;
      if (!times(value, kPowersOfTen[static_cast<std::size_t>(4 + exponent)]) || !plus(value, digit / cut)) {
        return std::nullopt;
      }
      pending = 0;
      continue;
    }
    if (!times(value, 10'000) || !plus(value, digit)) return std::nullopt;
    pending = exponent;
  }
  if (pending > 0 && value != 0) {
    // Trailing zero digits before a partial one are left out by the server; so the partial one never came.
    if (pending > kDecimalDigitsMax || !times(value, kPowersOfTen[static_cast<std::size_t>(pending)])) {
      return std::nullopt;
    }
  }
  if (value >= kPowersOfTen[kDecimalDigitsMax]) return std::nullopt;
  return sign == Sign::kNegative ? -value : value;
}

void BinaryNumeric::append_text(std::string& out) const {
  switch (sign) {
    case Sign::kNan: out += "NaN"; return;
    case Sign::kInfinity: out += "Infinity"; return;
    case Sign::kMinusInfinity: out += "-Infinity"; return;
    case Sign::kNegative: out += '-'; break;
    case Sign::kPositive: break;
  }
  auto digit = [&](int i) -> unsigned {
    return i >= 0 && i < digit_count ? base::load_big_endian<std::uint16_t>(digits + 2 * i) % 10'000U : 0U;
  };
  auto append_four = [&](unsigned value) {
    out += static_cast<char>('0' + value / 1000);
    out += static_cast<char>('0' + value / 100 % 10);
    out += static_cast<char>('0' + value / 10 % 10);
    out += static_cast<char>('0' + value % 10);
  };
  if (weight < 0) {
    out += '0';
  } else {
    out += std::to_string(digit(0));
    for (int i = 1; i <= weight; ++i) append_four(digit(i));
  }
  if (display_scale <= 0) return;
  out += '.';
  std::size_t end = out.size() + static_cast<std::size_t>(display_scale);
  for (int i = weight + 1; out.size() < end; ++i) append_four(digit(i));
  out.resize(end);
}

std::optional<Int128> decimal_of_text(std::string_view text, int scale) {
  bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  Int128 value = 0;
  int after_point = -1;  // Digits seen after the point; -1 before it.
  for (char c : text) {
    if (c == '.' && after_point < 0) {
      after_point = 0;
      continue;
    }
    if (c < '0' || c > '9') return std::nullopt;
    if (after_point >= scale) {
      if (c != '0') return std::nullopt;
      continue;
    }
    if (!times(value, 10) || !plus(value, c - '0')) return std::nullopt;
    if (after_point >= 0) ++after_point;
  }
  int missing = scale - (after_point < 0 ? 0 : after_point);
  if (missing > 0 && value != 0 && !times(value, kPowersOfTen[static_cast<std::size_t>(missing)])) {
    return std::nullopt;
  }
  if (value >= kPowersOfTen[kDecimalDigitsMax]) return std::nullopt;
  return negative ? -value : value;
}

std::string decimal_text(Int128 value, int scale) {
  std::string digits;
  bool negative = value < 0;
  do {
    int digit = static_cast<int>(value % 10);
    digits.insert(digits.begin(), static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    value /= 10;
  } while (value != 0);
  auto after_point = static_cast<std::size_t>(scale);
  if (digits.size() <= after_point) digits.insert(0, after_point + 1 - digits.size(), '0');
  if (scale > 0) digits.insert(digits.size() - after_point, 1, '.');
  return negative ? '-' + digits : digits;
}

std::optional<Int128> decimal_of_money(std::int64_t stored, int money_digits, int scale) {
  Int128 value = stored;
  if (money_digits <= scale) return value * kPowersOfTen[static_cast<std::size_t>(scale - money_digits)];
  Int128 cut = kPowersOfTen[static_cast<std::size_t>(std::min(money_digits - scale, kDecimalDigitsMax))];
  if (value % cut != 0) return std::nullopt;
  return value / cut;
}

std::optional<std::int64_t> money_of_text(std::string_view text) {
  bool negative = false;
  std::string digits;
  for (char c : text) {
    if (c == '-' || c == '(') negative = true;
    if (c >= '0' && c <= '9') digits += c;
  }
  if (negative) digits.insert(0, 1, '-');
  std::int64_t stored = 0;
  auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), stored);
  if (failed != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return stored;
}

std::int64_t days_of_date(std::int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  auto year_of_era = static_cast<unsigned>(year - era * 400);
  unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + static_cast<std::int64_t>(day_of_era) - 719'468;
}

std::optional<std::int32_t> date_of_binary(std::int32_t days) {
  if (days == kDayInfinity || days == kDayMinusInfinity) return std::nullopt;
  std::int64_t result = days + kEpochDays;
  if (result > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<std::int32_t>(result);
}

std::optional<std::int64_t> time_of_binary(std::int64_t micros) {
  if (micros < 0 || micros >= kDayMicros) return std::nullopt;
  return micros;
}

std::optional<std::int64_t> timestamp_of_binary(std::int64_t micros) {
  std::int64_t result = 0;
  if (micros == kMicrosInfinity || micros == kMicrosMinusInfinity) return std::nullopt;
  if (__builtin_add_overflow(micros, kEpochMicros, &result)) return std::nullopt;
  return result;
}

std::optional<std::int32_t> date_of_text(std::string_view text) {
  Scanner in(text);
  Date date = scan_date(in);
  if (in.take(" BC")) date.year = 1 - date.year;
  if (!in.ok() || !in.at_end() || !is_date(date)) return std::nullopt;
  std::int64_t days = days_of_date(date.year, date.month, date.day);
  if (days > std::numeric_limits<std::int32_t>::max() || days < std::numeric_limits<std::int32_t>::min()) {
    return std::nullopt;
  }
  return static_cast<std::int32_t>(days);
}

std::string char_text(char byte) {
  auto number = static_cast<unsigned char>(byte);
  if (number >= 0x80) return fmt::format("\\{:03o}", number);
  return number == 0 ? std::string() : std::string(1, byte);
}

std::optional<std::int64_t> time_of_text(std::string_view text) {
  Scanner in(text);
  std::int64_t micros = scan_time(in);
  skip_time_zone(in);
  if (!in.ok() || !in.at_end()) return std::nullopt;
  return time_of_binary(micros);
}

std::optional<std::int64_t> timestamp_of_text(std::string_view text) {
  Scanner in(text);
  Date date = scan_date(in);
  in.expect(' ');
  std::int64_t micros = scan_time(in);
  in.take("+00");
  if (in.take(" BC")) date.year = 1 - date.year;
  if (!in.ok() || !in.at_end() || !is_date(date)) return std::nullopt;
  std::int64_t result = 0;
  if (__builtin_mul_overflow(days_of_date(date.year, date.month, date.day), kDayMicros, &result) ||
      __builtin_add_overflow(result, micros, &result)) {
    return std::nullopt;
  }
  return result;
}

std::string date_text(std::int32_t days) {
  if (days == kDayInfinity) return "infinity";
  if (days == kDayMinusInfinity) return "-infinity";
  Date date = date_of_days(days + kEpochDays);
  return fmt::format("{}{}", ymd_text(date), era_text(date));
}

std::string time_text(std::int64_t micros) {
  std::int64_t seconds = micros / 1'000'000;
  std::string text = fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  std::int64_t fraction = micros % 1'000'000;
  if (fraction == 0) return text;
  text += fmt::format(".{:06}", fraction);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

std::string time_zone_text(std::int32_t seconds_west) {
  std::int64_t east = -std::int64_t{seconds_west};
  std::int64_t seconds = east < 0 ? -east : east;
  std::string text = fmt::format("{}{:02}", east < 0 ? '-' : '+', seconds / 3600);
  if (seconds % 3600 != 0) text += fmt::format(":{:02}", seconds / 60 % 60);
  if (seconds % 60 != 0) text += fmt::format(":{:02}", seconds % 60);
  return text;
}

std::string timestamp_text(std::int64_t micros) {
  if (micros == kMicrosInfinity) return "infinity";
  if (micros == kMicrosMinusInfinity) return "-infinity";
  std::int64_t days = micros / kDayMicros;
  std::int64_t of_day = micros % kDayMicros;
  if (of_day < 0) {
    of_day += kDayMicros;
    --days;
  }
  Date date = date_of_days(days + kEpochDays);
  return fmt::format("{} {}", ymd_text(date), time_text(of_day));
}

void write_uuid(const char* bytes, char* out) {
  constexpr char kHex[] = "0123456789abcdef";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
    auto byte = static_cast<unsigned char>(bytes[i]);
    *out++ = kHex[byte >> 4U];
    *out++ = kHex[byte & 15U];
  }
}

}  // namespace ferry::postgres
