#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/bytes.h"
#include "base/error.h"
#include "model/logical_type.h"

// DMS's text of every value, the one both loads and changes use (docs/types.md has it as a table). A put_…()
// writes at `at`, which has room for the size named with it, and returns the end of what it wrote. No locale,
// no allocation.
namespace ferry::formats {

__extension__ using Int128 = __int128;

// No artefact of AWS DMS shows its form of a BOOLEAN; its engine family describes the type as of length 1.
inline constexpr std::string_view kTrueText = "1";
inline constexpr std::string_view kFalseText = "0";

// Digits after the point of C's "%+.*e". REAL8 is seen in DMS's own files; REAL4 is by analogy.
inline constexpr int kReal8Digits = 16;
inline constexpr int kReal4Digits = 8;
// What "%e" has no portable text for; PostgreSQL prints and reads these.
inline constexpr std::string_view kNanText = "NaN";
inline constexpr std::string_view kPlusInfinityText = "Infinity";
inline constexpr std::string_view kMinusInfinityText = "-Infinity";

// A TIME(s) with s > 0 has this many digits after the point, whatever s is.
inline constexpr int kTimeFractionDigits = 6;

inline constexpr std::size_t kIntegerTextMax = 20;
char* put_integer(char* at, std::int64_t value);
char* put_unsigned(char* at, std::uint64_t value);

// Exactly `scale` digits after the point, and none at scale 0; a negative scale multiplies. 128 bits have up
// to 39 digits, beside them stand a sign, "0." and what the scale fills up with zeros.
constexpr std::size_t decimal_text_max(int scale) {
  return 44 + static_cast<std::size_t>(scale < 0 ? -scale : scale);
}
char* put_decimal(char* at, Int128 unscaled, int scale);

inline constexpr std::size_t kRealTextMax = 26;
char* put_real8(char* at, double value);
char* put_real4(char* at, float value);

// Years below 1000 have four digits, years from 10000 on as many as they need; the year before 1 is "0001-…
// BC".
inline constexpr std::size_t kDateTextMax = 24;
char* put_date(char* at, std::int32_t days);

inline constexpr std::size_t kTimeTextMax = 24;
char* put_time(char* at, std::int64_t micros, int scale);

// "YYYY-MM-DD HH:MM:SS" and, with digits > 0, a point and as many digits; what lies beyond them is cut.
inline constexpr std::size_t kDatetimeTextMax = 40;
char* put_datetime(char* at, std::int64_t micros, int digits);

// Upper-case hexadecimal digits, two a byte.
constexpr std::size_t hex_text_size(std::size_t bytes) { return 2 * bytes; }
char* put_hex(char* at, std::string_view bytes);

// True when digits of the second after the first `digits` are not zero.
bool has_finer_digits(std::int64_t micros, int digits);

// A type's form for code that is chosen once per column: Native is how a value lies in an Arrow array and in
// a cell alike, text_max() the room put() needs, loses() whether put() leaves something out.
struct BooleanForm {
  using Native = bool;
  std::size_t text_max(bool) const { return kTrueText.size(); }
  char* put(char* at, bool value) const {
    std::string_view text = value ? kTrueText : kFalseText;
    return at + text.copy(at, text.size());
  }
  bool loses(bool) const { return false; }
};

template <typename Integer>
struct IntegerForm {
  using Native = Integer;
  std::size_t text_max(Integer) const { return kIntegerTextMax; }
  char* put(char* at, Integer value) const {
    if constexpr (std::is_signed_v<Integer>) return put_integer(at, value);
    return put_unsigned(at, static_cast<std::uint64_t>(value));
  }
  bool loses(Integer) const { return false; }
};

struct DecimalForm {
  using Native = Int128;
  int scale;
  std::size_t text_max(Int128) const { return decimal_text_max(scale); }
  char* put(char* at, Int128 value) const { return put_decimal(at, value, scale); }
  bool loses(Int128) const { return false; }
};

struct Real8Form {
  using Native = double;
  std::size_t text_max(double) const { return kRealTextMax; }
  char* put(char* at, double value) const { return put_real8(at, value); }
  bool loses(double) const { return false; }
};

struct Real4Form {
  using Native = float;
  std::size_t text_max(float) const { return kRealTextMax; }
  char* put(char* at, float value) const { return put_real4(at, value); }
  bool loses(float) const { return false; }
};

struct DateForm {
  using Native = std::int32_t;
  std::size_t text_max(std::int32_t) const { return kDateTextMax; }
  char* put(char* at, std::int32_t days) const { return put_date(at, days); }
  bool loses(std::int32_t) const { return false; }
};

struct TimeForm {
  using Native = std::int64_t;
  int scale;
  std::size_t text_max(std::int64_t) const { return kTimeTextMax; }
  char* put(char* at, std::int64_t micros) const { return put_time(at, micros, scale); }
  bool loses(std::int64_t micros) const { return scale == 0 && has_finer_digits(micros, 0); }
};

struct DatetimeForm {
  using Native = std::int64_t;
  int scale;
  std::size_t text_max(std::int64_t) const { return kDatetimeTextMax; }
  char* put(char* at, std::int64_t micros) const { return put_datetime(at, micros, scale); }
  bool loses(std::int64_t micros) const { return scale < 6 && has_finer_digits(micros, scale); }
};

// Also the NUMERIC without a precision, whose canonical form is its text.
struct TextForm {
  using Native = std::string_view;
  std::size_t text_max(std::string_view value) const { return value.size(); }
  char* put(char* at, std::string_view value) const { return at + value.copy(at, value.size()); }
  bool loses(std::string_view) const { return false; }
};

struct HexForm {
  using Native = std::string_view;
  std::size_t text_max(std::string_view value) const { return hex_text_size(value.size()); }
  char* put(char* at, std::string_view value) const { return put_hex(at, value); }
  bool loses(std::string_view) const { return false; }
};

// Calls `use` with the form of `type`: the one place that says which type has which text.
template <typename Use>
auto with_text_form(const model::LogicalType& type, Use&& use) {
  using model::TypeId;
  switch (type.id) {
    case TypeId::kBoolean: return use(BooleanForm{});
    case TypeId::kInt1: return use(IntegerForm<std::int8_t>{});
    case TypeId::kInt2: return use(IntegerForm<std::int16_t>{});
    case TypeId::kInt4: return use(IntegerForm<std::int32_t>{});
    case TypeId::kInt8: return use(IntegerForm<std::int64_t>{});
    case TypeId::kUint1: return use(IntegerForm<std::uint8_t>{});
    case TypeId::kUint2: return use(IntegerForm<std::uint16_t>{});
    case TypeId::kUint4: return use(IntegerForm<std::uint32_t>{});
    case TypeId::kUint8: return use(IntegerForm<std::uint64_t>{});
    case TypeId::kReal4: return use(Real4Form{});
    case TypeId::kReal8: return use(Real8Form{});
    case TypeId::kNumeric:
      if (type.is_unconstrained_numeric()) return use(TextForm{});
      return use(DecimalForm{type.scale});
    case TypeId::kString:
    case TypeId::kWstring:
    case TypeId::kClob:
    case TypeId::kNclob: return use(TextForm{});
    case TypeId::kBytes:
    case TypeId::kBlob: return use(HexForm{});
    case TypeId::kDate: return use(DateForm{});
    case TypeId::kTime: return use(TimeForm{type.scale});
    case TypeId::kDatetime: return use(DatetimeForm{type.scale});
  }
  throw base::Error(base::ErrorKind::kInternal, "a logical type without a text form");
}

// The value in a cell's canonical bytes.
template <typename Native>
Native cell_value(std::string_view bytes) {
  if constexpr (std::is_same_v<Native, std::string_view>) {
    return bytes;
  } else {
    assert(bytes.size() == sizeof(Native));
    if constexpr (std::is_same_v<Native, bool>) return bytes.front() != 0;
    // Of known size, not ended by a NUL.
    return base::load_native<Native>(bytes.data());  // NOLINT(bugprone-suspicious-stringview-data-usage)
  }
}

// For messages and other places where speed does not count.
void append_cell_text(std::string& out, const model::LogicalType& type, std::string_view bytes);

}  // namespace ferry::formats
