#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "connectors/postgres/settings.h"
#include "model/change_batch.h"
#include "model/logical_type.h"

namespace ferry::postgres {

// How one family of PostgreSQL types is read. Each codec has two readers, for the binary form that a load
// receives (copy_binary.cc) and for the text form that a stream of changes holds (text_reader()); both yield
// the same canonical cell (model/logical_type.h) for the same value.
enum class Codec : std::uint8_t {
  kInt2,
  kInt4,
  kInt8,
  kFloat4,
  kFloat8,
  kBool,
  kBoolText,       // Boolean as DMS carries it: the text 'true' or 'false'.
  kNumeric,        // To the column's scale.
  kNumericText,    // NUMERIC without precision; NaN and the infinities are out of domain.
  kNumericString,  // A numeric carried as text, whatever it is.
  kMoney,
  kText,         // Sent as text in both forms.
  kTrimmedText,  // The same, blank-padded: trailing blanks go.
  kPrinted,  // Read through its type's output function, so that the load gets the text that the log holds.
  kChar,     // "char", one byte: as servers from 16 on print it.
  kJsonb,
  kBytea,
  kUuid,
  kDate,
  kTime,
  kTimeTz,
  kTimestamp,
  kTimestampTz,
};

// A column's codec and what it needs to know.
struct ColumnCodec {
  Codec codec = Codec::kText;
  std::int16_t scale = 0;  // kNumeric, kMoney: digits after the point of the canonical form.
  std::int16_t money_digits =
      2;  // kMoney: digits after the point of the stored number, by the database's lc_monetary.

  friend bool operator==(const ColumnCodec&, const ColumnCodec&) = default;
};

// A column's type as the catalog describes it, domains already resolved to what they are made of.
struct PgType {
  std::uint32_t oid = 0;
  std::int32_t typmod = -1;
  char kind = 'b';      // pg_type.typtype: b base, c composite, e enum, m multirange, p pseudo, r range.
  char category = 'U';  // pg_type.typcategory: A array …
  std::string name;     // pg_type.typname.
};

struct MappedType {
  model::LogicalType type;
  ColumnCodec codec;
};

// The DMS type of a PostgreSQL type (AWS DMS user guide, "Source data types for PostgreSQL"), and its codec.
MappedType map_type(const PgType& type, const Settings& settings);

// A value read from its text.
struct TextValue {
  model::CellState state = model::CellState::kValue;  // kValue or kOutOfDomain.
  std::string_view bytes;  // Canonical form, or the text: part of what was read, or in `scratch`.
};

// Reads one value as the server prints it under the session options of client.cc. Text that the type's form
// does not explain is out of domain. `scratch` is overwritten.
using TextReader = TextValue (*)(const ColumnCodec& codec, std::string_view text, std::string& scratch);

// To be asked once per column, before the rows.
TextReader text_reader(Codec codec);

// A canonical cell in the text form that the server reads as a value of the column's type.
std::string cell_text(const model::LogicalType& type, std::string_view cell);

}  // namespace ferry::postgres
