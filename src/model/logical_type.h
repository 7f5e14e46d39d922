#pragma once

#include <cstdint>
#include <string>

namespace ferry::model {

// The data types of AWS DMS (user guide, "Data types for AWS DMS").
enum class TypeId : std::uint8_t {
  kBoolean,
  kInt1,
  kInt2,
  kInt4,
  kInt8,
  kUint1,
  kUint2,
  kUint4,
  kUint8,
  kReal4,
  kReal8,
  kNumeric,
  kString,   // Text in a single-byte character set, by DMS's naming; UTF-8 with us.
  kWstring,  // Text with a length.
  kClob,
  kNclob,
  kBytes,
  kBlob,
  kDate,
  kTime,
  kDatetime,
};

// One column's type. Each has one canonical Arrow form, used by loads, and one canonical cell form, used by
// changes (docs/types.md has both in one table):
//
//   type                          Arrow                     cell bytes (native byte order)
//   BOOLEAN                       bool                      1 byte, 0 or 1
//   INT1…INT8, UINT1…UINT8        int8…int64, uint8…uint64  1, 2, 4, 8 bytes
//   REAL4, REAL8                  float, double             4, 8 bytes IEEE 754
//   NUMERIC(p,s), 1 ≤ p ≤ 38      decimal128(p,s)           16 bytes, two's complement of the unscaled value
//   NUMERIC without p             utf8                      the decimal text
//   STRING, WSTRING, CLOB, NCLOB  utf8                      the text
//   BYTES, BLOB                   binary                    the bytes
//   DATE                          date32                    4 bytes, days since 1970-01-01
//   TIME(s)                       time64[us]                8 bytes, µs since midnight, below 24 hours
//   DATETIME(s)                   timestamp[us, UTC]        8 bytes, µs since 1970-01-01 UTC
//
// A value without such a form (an infinite timestamp, NaN in a NUMERIC, 24:00:00) is *out of domain*: it
// travels as its source text beside the batch, and each target maps or rejects it.
struct LogicalType {
  TypeId id = TypeId::kWstring;
  std::int32_t length = 0;     // STRING, WSTRING, BYTES: the largest length, 0 where the source names none.
  std::int16_t precision = 0;  // NUMERIC only; 0 = unconstrained.
  std::int16_t scale = 0;  // NUMERIC: digits after the point. TIME, DATETIME: digits of the second, 0 to 6.
  // TIME: the source's values have an offset from UTC, for which DMS's type has no place. Whoever writes such
  // a value says so in a DataWarning.
  bool without_offset = false;

  friend bool operator==(const LogicalType&, const LogicalType&) = default;

  bool is_unconstrained_numeric() const { return id == TypeId::kNumeric && precision == 0; }
  bool is_text() const {
    return id == TypeId::kString || id == TypeId::kWstring || id == TypeId::kClob || id == TypeId::kNclob;
  }
  bool is_bytes() const { return id == TypeId::kBytes || id == TypeId::kBlob; }
  // CLOB, NCLOB and BLOB: the types that LOB settings speak of.
  bool is_lob() const { return id == TypeId::kClob || id == TypeId::kNclob || id == TypeId::kBlob; }
  // The cell form is of varying length.
  bool is_variable() const { return is_text() || is_bytes() || is_unconstrained_numeric(); }
};

// The size of the cell form where it is fixed, else 0.
std::size_t fixed_cell_size(const LogicalType& type);

// As DMS prints it: "NUMERIC(12,2)", "WSTRING(20)", "DATETIME(6)".
std::string to_string(const LogicalType& type);

}  // namespace ferry::model
