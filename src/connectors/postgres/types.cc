#include "connectors/postgres/types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "connectors/postgres/values.h"

namespace ferry::postgres {
namespace {

using model::CellState;
using model::LogicalType;
using model::TypeId;

// pg_type.dat of the server's sources; these numbers never change.
namespace oid {
constexpr std::uint32_t kBool = 16, kBytea = 17, kChar = 18, kName = 19, kInt8 = 20, kInt2 = 21, kInt4 = 23,
                        kText = 25, kOid = 26, kTid = 27, kXid = 28, kJson = 114, kXml = 142, kPoint = 600,
                        kLseg = 601, kPath = 602, kBox = 603, kPolygon = 604, kLine = 628, kCidr = 650,
                        kFloat4 = 700, kFloat8 = 701, kCircle = 718, kMacaddr8 = 774, kMoney = 790,
                        kMacaddr = 829, kInet = 869, kBpchar = 1042, kVarchar = 1043, kDate = 1082,
                        kTime = 1083, kTimestamp = 1114, kTimestampTz = 1184, kInterval = 1186,
                        kTimeTz = 1266, kBit = 1560, kVarbit = 1562, kNumeric = 1700, kRefcursor = 1790,
                        kUuid = 2950, kPgLsn = 3220, kTsvector = 3614, kTsquery = 3615, kJsonb = 3802;
}

constexpr std::int32_t kCharLength = 4;  // See char_text().
constexpr std::int32_t kEnumLength = 64;
constexpr std::int32_t kRangeLength = 255;
constexpr std::int32_t kGeometryLength = 255;
constexpr std::int16_t kMoneyScale = 4;

LogicalType sized(TypeId id, std::int32_t length) { return {.id = id, .length = length}; }

MappedType of(LogicalType type, Codec codec) { return {.type = type, .codec = {.codec = codec}}; }

// The length of a type modifier that counts its own four bytes; 0 where there is none.
std::int32_t length_of(std::int32_t typmod) { return typmod >= 4 ? typmod - 4 : 0; }

// Digits of the second: all six unless the column says fewer.
LogicalType with_fraction(TypeId id, std::int32_t typmod) {
  std::int32_t digits = typmod >= 0 && typmod <= 6 ? typmod : 6;
  return {.id = id, .scale = static_cast<std::int16_t>(digits)};
}

MappedType map_numeric(std::int32_t typmod, const Settings& settings) {
  if (typmod < 4) {
    if (settings.map_unbounded_numeric_as_string) return of({.id = TypeId::kString}, Codec::kNumericString);
    return of({.id = TypeId::kNumeric}, Codec::kNumericText);
  }
  // numeric_typmod_scale() of numeric.c: the scale has eleven bits with sign since PostgreSQL 15.
  std::int32_t precision = ((typmod - 4) >> 16) & 0xFFFF;
  std::int32_t scale = (((typmod - 4) & 0x7FF) ^ 0x400) - 0x400;
  // No canonical decimal has a scale below zero or above its precision.
  if (precision > kDecimalDigitsMax || scale < 0 || scale > precision) {
    return of({.id = TypeId::kString}, Codec::kNumericString);
  }
  auto digits = static_cast<std::int16_t>(scale);
  return {
      .type = {.id = TypeId::kNumeric, .precision = static_cast<std::int16_t>(precision), .scale = digits},
      .codec = {.codec = Codec::kNumeric, .scale = digits}};
}

MappedType map_varchar(std::int32_t typmod, const Settings& settings) {
  std::int32_t length = length_of(typmod);
  if (length == 0) return of(sized(TypeId::kWstring, settings.unbounded_varchar_length), Codec::kText);
  if (length > kLongVarcharLength && settings.long_varchar == LongVarchar::kClob)
    return of({TypeId::kClob}, Codec::kText);
  if (length > kLongVarcharLength && settings.long_varchar == LongVarchar::kNclob)
    return of({TypeId::kNclob}, Codec::kText);
  return of(sized(TypeId::kWstring, length), Codec::kText);
}

MappedType map_timetz(std::int32_t typmod) {
  MappedType mapped = of(with_fraction(TypeId::kTime, typmod), Codec::kTimeTz);
  mapped.type.without_offset = true;
  return mapped;
}

MappedType map_base_type(const PgType& type, const Settings& settings) {
  switch (type.oid) {
    case oid::kInt2: return of({TypeId::kInt2}, Codec::kInt2);
    case oid::kInt4: return of({TypeId::kInt4}, Codec::kInt4);
    case oid::kInt8: return of({TypeId::kInt8}, Codec::kInt8);
    case oid::kFloat4: return of({TypeId::kReal4}, Codec::kFloat4);
    case oid::kFloat8: return of({TypeId::kReal8}, Codec::kFloat8);
    case oid::kNumeric: return map_numeric(type.typmod, settings);
    case oid::kMoney:
      return {.type = {.id = TypeId::kNumeric, .precision = kDecimalDigitsMax, .scale = kMoneyScale},
              .codec = {.codec = Codec::kMoney, .scale = kMoneyScale}};
    case oid::kBool:
      if (settings.map_boolean_as_boolean) return of({TypeId::kBoolean}, Codec::kBool);
      return of(sized(TypeId::kString, 5), Codec::kBoolText);
    case oid::kBpchar:
      return of(sized(TypeId::kWstring, length_of(type.typmod)),
                settings.trim_space_in_char ? Codec::kTrimmedText : Codec::kText);
    case oid::kVarchar: return map_varchar(type.typmod, settings);
    case oid::kText:
    case oid::kName:
    case oid::kRefcursor:
    case oid::kJson: return of({TypeId::kNclob}, Codec::kText);
    case oid::kJsonb: return of({settings.map_jsonb_as_clob ? TypeId::kClob : TypeId::kNclob}, Codec::kJsonb);
    case oid::kBytea: return of({TypeId::kBlob}, Codec::kBytea);
    case oid::kUuid: return of(sized(TypeId::kString, 36), Codec::kUuid);
    case oid::kDate: return of({TypeId::kDate}, Codec::kDate);
    case oid::kTime: return of(with_fraction(TypeId::kTime, type.typmod), Codec::kTime);
    case oid::kTimeTz: return map_timetz(type.typmod);
    case oid::kTimestamp: return of(with_fraction(TypeId::kDatetime, type.typmod), Codec::kTimestamp);
    case oid::kTimestampTz: return of(with_fraction(TypeId::kDatetime, type.typmod), Codec::kTimestampTz);
    // The rest is read as the server prints it.
    case oid::kInterval: return of(sized(TypeId::kString, 128), Codec::kPrinted);
    case oid::kChar: return of(sized(TypeId::kString, kCharLength), Codec::kChar);
    case oid::kInet:
    case oid::kCidr: return of(sized(TypeId::kString, 50), Codec::kPrinted);
    case oid::kMacaddr: return of(sized(TypeId::kString, 18), Codec::kPrinted);
    case oid::kMacaddr8: return of(sized(TypeId::kString, 23), Codec::kPrinted);
    case oid::kBit:
    case oid::kVarbit: return of(sized(TypeId::kString, std::max(type.typmod, 0)), Codec::kPrinted);
    case oid::kPoint:
    case oid::kLine:
    case oid::kLseg:
    case oid::kBox:
    case oid::kCircle: return of(sized(TypeId::kString, kGeometryLength), Codec::kPrinted);
    case oid::kPath:
    case oid::kPolygon:
    case oid::kXml:
    case oid::kTsvector:
    case oid::kTsquery: return of({TypeId::kClob}, Codec::kPrinted);
    case oid::kOid:
    case oid::kTid:
    case oid::kXid:
    case oid::kPgLsn: return of({TypeId::kString}, Codec::kPrinted);
    default: break;
  }
  if (type.name.starts_with("reg") && type.oid < 16384) return of({TypeId::kString}, Codec::kPrinted);
  return of({TypeId::kNclob}, Codec::kPrinted);
}

template <typename T>
TextValue native(const T& value, std::string& scratch) {
  scratch.assign(reinterpret_cast<const char*>(&value), sizeof value);
  return {.bytes = scratch};
}

TextValue out_of_domain(std::string_view text) { return {.state = CellState::kOutOfDomain, .bytes = text}; }

template <typename T>
TextValue read_number(const ColumnCodec&, std::string_view text, std::string& scratch) {
  T value{};
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return out_of_domain(text);
  return native(value, scratch);
}

TextValue read_bool(const ColumnCodec&, std::string_view text, std::string& scratch) {
  if (text != "t" && text != "f") return out_of_domain(text);
  return native(static_cast<char>(text == "t" ? 1 : 0), scratch);
}

TextValue read_bool_text(const ColumnCodec&, std::string_view text, std::string&) {
  if (text == "t") return {.bytes = "true"};
  if (text == "f") return {.bytes = "false"};
  return out_of_domain(text);
}

TextValue read_numeric(const ColumnCodec& codec, std::string_view text, std::string& scratch) {
  auto value = decimal_of_text(text, codec.scale);
  return value ? native(*value, scratch) : out_of_domain(text);
}

TextValue read_numeric_text(const ColumnCodec&, std::string_view text, std::string&) {
  if (text == "NaN" || text == "Infinity" || text == "-Infinity") return out_of_domain(text);
  return {.bytes = text};
}

TextValue read_money(const ColumnCodec& codec, std::string_view text, std::string& scratch) {
  auto stored = money_of_text(text);
  auto value = stored ? decimal_of_money(*stored, codec.money_digits, codec.scale) : std::nullopt;
  return value ? native(*value, scratch) : out_of_domain(text);
}

TextValue read_text(const ColumnCodec&, std::string_view text, std::string&) { return {.bytes = text}; }

TextValue read_char(const ColumnCodec&, std::string_view text, std::string& scratch) {
  if (text.size() != 1) return {.bytes = text};
  scratch = char_text(text.front());
  return {.bytes = scratch};
}

TextValue read_trimmed_text(const ColumnCodec&, std::string_view text, std::string&) {
  return {.bytes = text.substr(0, text.find_last_not_of(' ') + 1)};
}

constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

TextValue read_bytea(const ColumnCodec&, std::string_view text, std::string& scratch) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return out_of_domain(text);
  scratch.clear();
  for (std::size_t i = 2; i < text.size(); i += 2) {
    int high = hex_digit(text[i]);
    int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return out_of_domain(text);
    scratch += static_cast<char>(high << 4 | low);
  }
  return {.bytes = scratch};
}

TextValue read_date(const ColumnCodec&, std::string_view text, std::string& scratch) {
  auto value = date_of_text(text);
  return value ? native(*value, scratch) : out_of_domain(text);
}

TextValue read_time(const ColumnCodec&, std::string_view text, std::string& scratch) {
  auto value = time_of_text(text);
  return value ? native(*value, scratch) : out_of_domain(text);
}

TextValue read_timestamp(const ColumnCodec&, std::string_view text, std::string& scratch) {
  auto value = timestamp_of_text(text);
  return value ? native(*value, scratch) : out_of_domain(text);
}

template <typename T>
std::string number_text(std::string_view cell) {
  // fmt writes the shortest text that reads back as the same number.
  return fmt::format("{}", base::load_native<T>(cell.data()));
}

std::string timestamp_cell_text(std::string_view cell) {
  auto micros = base::load_native<std::int64_t>(cell.data());
  // Canonical time stamps cover all of PostgreSQL's but the last ones, so the subtraction overflows for none
  // of them.
  std::int64_t since_2000 = 0;
  if (__builtin_sub_overflow(micros, kEpochMicros, &since_2000))
    since_2000 = std::numeric_limits<std::int64_t>::min();
  std::int64_t days = since_2000 / kDayMicros - (since_2000 % kDayMicros < 0 ? 1 : 0);
  // timestamp_text() leaves the era out, because no value without a canonical form needs it.
  bool before_christ = days + kEpochDays < days_of_date(1, 1, 1);
  return timestamp_text(since_2000) + (before_christ ? "+00 BC" : "+00");
}

}  // namespace

MappedType map_type(const PgType& type, const Settings& settings) {
  if (type.kind == 'e') return of(sized(TypeId::kString, kEnumLength), Codec::kText);
  if (type.kind == 'r' || type.kind == 'm') return of(sized(TypeId::kString, kRangeLength), Codec::kPrinted);
  if (type.kind == 'c' || type.category == 'A') return of({TypeId::kNclob}, Codec::kPrinted);
  return map_base_type(type, settings);
}

TextReader text_reader(Codec codec) {
  switch (codec) {
    case Codec::kInt2: return read_number<std::int16_t>;
    case Codec::kInt4: return read_number<std::int32_t>;
    case Codec::kInt8: return read_number<std::int64_t>;
    case Codec::kFloat4: return read_number<float>;
    case Codec::kFloat8: return read_number<double>;
    case Codec::kBool: return read_bool;
    case Codec::kBoolText: return read_bool_text;
    case Codec::kNumeric: return read_numeric;
    case Codec::kNumericText: return read_numeric_text;
    case Codec::kMoney: return read_money;
    case Codec::kTrimmedText: return read_trimmed_text;
    case Codec::kChar: return read_char;
    case Codec::kNumericString:
    case Codec::kText:
    case Codec::kPrinted:
    case Codec::kJsonb:
    case Codec::kUuid: return read_text;
    case Codec::kBytea: return read_bytea;
    case Codec::kDate: return read_date;
    case Codec::kTime:
    case Codec::kTimeTz: return read_time;
    case Codec::kTimestamp:
    case Codec::kTimestampTz: return read_timestamp;
  }
  return read_text;
}

std::string cell_text(const LogicalType& type, std::string_view cell) {
  switch (type.id) {
    case TypeId::kBoolean: return cell.front() == 1 ? "t" : "f";
    case TypeId::kInt2: return number_text<std::int16_t>(cell);
    case TypeId::kInt4: return number_text<std::int32_t>(cell);
    case TypeId::kInt8: return number_text<std::int64_t>(cell);
    case TypeId::kReal4: return number_text<float>(cell);
    case TypeId::kReal8: return number_text<double>(cell);
    case TypeId::kNumeric:
      if (type.is_unconstrained_numeric()) return std::string(cell);
      return decimal_text(base::load_native<Int128>(cell.data()), type.scale);
    case TypeId::kDate:
      return date_text(static_cast<std::int32_t>(base::load_native<std::int32_t>(cell.data()) - kEpochDays));
    case TypeId::kTime: return time_text(base::load_native<std::int64_t>(cell.data()));
    case TypeId::kDatetime: return timestamp_cell_text(cell);
    case TypeId::kBytes:
    case TypeId::kBlob: {
      std::string text = "\\x";
      for (char c : cell) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
      return text;
    }
    case TypeId::kString:
    case TypeId::kWstring:
    case TypeId::kClob:
    case TypeId::kNclob: return std::string(cell);
    case TypeId::kInt1:
    case TypeId::kUint1:
    case TypeId::kUint2:
    case TypeId::kUint4:
    case TypeId::kUint8: break;
  }
  throw base::Error(base::ErrorKind::kInternal,
                    "a PostgreSQL column never has the type " + model::to_string(type));
}

}  // namespace ferry::postgres
