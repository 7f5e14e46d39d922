#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "model/change_batch.h"
#include "model/table_version.h"

namespace ferry::test_support {

// A cell that owns its bytes, in canonical cell form.
struct Value {
  model::CellState state = model::CellState::kNull;
  std::string bytes;

  friend auto operator<=>(const Value&, const Value&) = default;
};
using Row = std::vector<Value>;

inline Value null_value() { return {}; }
inline Value not_sent() { return {model::CellState::kNotSent, ""}; }
inline Value text_value(std::string_view text) { return {model::CellState::kValue, std::string(text)}; }
inline Value out_of_domain(std::string_view text) {
  return {model::CellState::kOutOfDomain, std::string(text)};
}
template <typename T>
Value native_value(T value) {
  Value made{model::CellState::kValue, ""};
  base::append_native(made.bytes, value);
  return made;
}
inline Value int4_value(std::int32_t value) { return native_value(value); }
inline Value int8_value(std::int64_t value) { return native_value(value); }

// "7", "some text", "NULL"; bytes of types that are neither number nor text as hexadecimal digits.
std::string printed(const model::LogicalType& type, const Value& value);
// "id=7, name=x", of the columns that say which row it is.
std::string printed_key(const model::TableVersion& table, const Row& row);

std::vector<model::Cell> cells_of(const Row& row);
Row row_of(std::span<const model::Cell> cells);

// The columns that name a row: the key's, or all of them.
std::vector<std::uint32_t> identity_columns(const model::TableVersion& table);
// A row's identity as one string: equal exactly for rows that the log cannot tell apart.
std::string identity_of(const model::TableVersion& table, const Row& row);
std::string identity_of(std::span<const Value> identity_values);

// A row of the shape `from` as one of the shape `to`: columns are matched by source number, else by name; new
// ones are null.
Row projected(const Row& row, const model::TableVersion& from, const model::TableVersion& to);

// What a row holds in memory, roughly.
std::int64_t bytes_of(const Row& row);

}  // namespace ferry::test_support
