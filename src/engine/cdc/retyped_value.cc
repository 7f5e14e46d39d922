#include "engine/cdc/retyped_value.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/bytes.h"

namespace ferry::engine {
namespace {

using model::LogicalType;
using model::TypeId;
__extension__ using Int128 = __int128;

constexpr int kDecimalDigitsMax = 38;
constexpr std::int64_t kMicrosPerDay = 86'400'000'000;
constexpr int kMicrosDigits = 6;

// An exact number: unscaled × 10^-scale.
struct Decimal {
  Int128 unscaled = 0;
  int scale = 0;
};

Int128 power_of_ten(int exponent) {
  Int128 power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

// Nothing where a digit would be lost, or where there would be more than 38.
std::optional<Decimal> rescaled(Decimal number, int scale) {
  for (; number.scale > scale; --number.scale) {
    if (number.unscaled % 10 != 0) return std::nullopt;
    number.unscaled /= 10;
  }
  const Int128 limit = power_of_ten(kDecimalDigitsMax - 1);
  for (; number.scale < scale; ++number.scale) {
    if (number.unscaled >= limit || number.unscaled <= -limit) return std::nullopt;
    number.unscaled *= 10;
  }
  return number;
}

std::string text_of(Decimal number) {
  bool negative = number.unscaled < 0;
  std::string digits;
  for (Int128 rest = negative ? -number.unscaled : number.unscaled; rest > 0; rest /= 10) {
    digits += static_cast<char>('0' + static_cast<int>(rest % 10));
  }
  auto scale = static_cast<std::size_t>(number.scale);
  while (digits.size() <= scale) digits += '0';
  if (scale > 0) digits.insert(scale, 1, '.');
  if (negative) digits += '-';
  std::ranges::reverse(digits);
  return digits;
}

// Only what text_of() prints: other texts, like 007, are no numbers here, as they would come back as another
// text.
std::optional<Decimal> decimal_of_text(std::string_view text) {
  Decimal number;
  bool negative = text.starts_with('-');
  bool after_point = false;
  int digits = 0;
  for (char letter : text.substr(negative ? 1 : 0)) {
    if (letter == '.' && !after_point) {
      after_point = true;
    } else if (letter >= '0' && letter <= '9' && digits < kDecimalDigitsMax) {
      number.unscaled = number.unscaled * 10 + (letter - '0');
      number.scale += after_point ? 1 : 0;
      ++digits;
    } else {
      return std::nullopt;
    }
  }
  if (negative) number.unscaled = -number.unscaled;
  if (text_of(number) != text) return std::nullopt;
  return number;
}

// Calls `use` with a value of the type's integer; false for other types.
template <typename Use>
bool with_integer(TypeId id, Use use) {
  switch (id) {
    case TypeId::kInt1: use(std::int8_t{}); return true;
    case TypeId::kInt2: use(std::int16_t{}); return true;
    case TypeId::kInt4: use(std::int32_t{}); return true;
    case TypeId::kInt8: use(std::int64_t{}); return true;
    case TypeId::kUint1: use(std::uint8_t{}); return true;
    case TypeId::kUint2: use(std::uint16_t{}); return true;
    case TypeId::kUint4: use(std::uint32_t{}); return true;
    case TypeId::kUint8: use(std::uint64_t{}); return true;
    default: return false;
  }
}

bool is_number(const LogicalType& type) {
  return type.id == TypeId::kNumeric || with_integer(type.id, [](auto) {});
}

std::optional<Decimal> decimal_of(const LogicalType& type, std::string_view cell) {
  if (type.is_text() || type.is_unconstrained_numeric()) return decimal_of_text(cell);
  Decimal number{.unscaled = 0, .scale = type.scale};
  if (type.id == TypeId::kNumeric) {
    number.unscaled = base::load_native<Int128>(cell.data());
    return number;
  }
  number.scale = 0;
  bool whole =
      with_integer(type.id, [&]<typename T>(T) { number.unscaled = base::load_native<T>(cell.data()); });
  if (!whole) return std::nullopt;
  return number;
}

std::optional<std::string_view> number_as(const Decimal& number, const LogicalType& to,
                                          std::string& storage) {
  storage.clear();
  if (to.is_text() || to.is_unconstrained_numeric()) {
    storage = text_of(number);
    return storage;
  }
  bool is_decimal = to.id == TypeId::kNumeric;
  std::optional<Decimal> fitting = rescaled(number, is_decimal ? to.scale : 0);
  if (!fitting) return std::nullopt;
  const Int128 value = fitting->unscaled;
  if (is_decimal) {
    const Int128 limit = power_of_ten(to.precision);
    if (value >= limit || value <= -limit) return std::nullopt;
    base::append_native(storage, value);
    return storage;
  }
  bool fits = false;
  with_integer(to.id, [&]<typename T>(T) {
    fits = value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
    if (fits) base::append_native(storage, static_cast<T>(value));
  });
  if (!fits) return std::nullopt;
  return storage;
}

std::optional<std::string_view> real_as(const LogicalType& from, std::string_view cell, const LogicalType& to,
                                        std::string& storage) {
  if (from.id == to.id) return cell;
  storage.clear();
  if (to.id == TypeId::kReal8) {
    base::append_native(storage, static_cast<double>(base::load_native<float>(cell.data())));
    return storage;
  }
  auto value = base::load_native<double>(cell.data());
  // Beyond float's range the conversion itself is undefined.
  bool in_range =
      !std::isfinite(value) || std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max());
  if (!in_range) return std::nullopt;
  auto narrow = static_cast<float>(value);
  if (!std::isnan(value) && static_cast<double>(narrow) != value) return std::nullopt;
  base::append_native(storage, narrow);
  return storage;
}

bool has_digits_beyond(std::int64_t micros, int scale) {
  return scale < kMicrosDigits &&
         micros % static_cast<std::int64_t>(power_of_ten(kMicrosDigits - scale)) != 0;
}

std::optional<std::string_view> date_as_datetime(std::string_view cell, std::string& storage) {
  std::int64_t micros = 0;
  if (__builtin_mul_overflow(std::int64_t{base::load_native<std::int32_t>(cell.data())}, kMicrosPerDay,
                             &micros)) {
    return std::nullopt;
  }
  storage.clear();
  base::append_native(storage, micros);
  return storage;
}

std::optional<std::string_view> datetime_as_date(std::string_view cell, std::string& storage) {
  auto micros = base::load_native<std::int64_t>(cell.data());
  if (micros % kMicrosPerDay != 0) return std::nullopt;
  storage.clear();
  base::append_native(storage, static_cast<std::int32_t>(micros / kMicrosPerDay));
  return storage;
}

bool is_real(const LogicalType& type) { return type.id == TypeId::kReal4 || type.id == TypeId::kReal8; }

}  // namespace

std::optional<std::string_view> retyped_value(const LogicalType& from, std::string_view cell,
                                              const LogicalType& to, std::string& storage) {
  // The length is no part of the form.
  bool same_form = (from.is_text() && to.is_text()) || (from.is_bytes() && to.is_bytes()) ||
                   (from.id == to.id && from.precision == to.precision && from.scale == to.scale);
  if (same_form) return cell;
  if (is_real(from) && is_real(to)) return real_as(from, cell, to, storage);
  if (from.id == to.id && (to.id == TypeId::kTime || to.id == TypeId::kDatetime)) {
    if (has_digits_beyond(base::load_native<std::int64_t>(cell.data()), to.scale)) return std::nullopt;
    return cell;
  }
  if (from.id == TypeId::kDate && to.id == TypeId::kDatetime) return date_as_datetime(cell, storage);
  if (from.id == TypeId::kDatetime && to.id == TypeId::kDate) return datetime_as_date(cell, storage);
  // As it is written: it may have more digits than a Decimal.
  if (from.is_unconstrained_numeric() && to.is_text()) return cell;
  bool by_number = (is_number(from) && (is_number(to) || to.is_text())) || (from.is_text() && is_number(to));
  if (!by_number) return std::nullopt;
  std::optional<Decimal> number = decimal_of(from, cell);
  if (!number) return std::nullopt;
  return number_as(*number, to, storage);
}

}  // namespace ferry::engine
