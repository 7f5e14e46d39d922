#include "tests/support/memory/memory_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace ferry::test_support {
namespace {

std::string hexadecimal(std::string_view bytes) {
  std::string text;
  for (char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::size_t find_column(const model::TableVersion& table, const model::Column& wanted) {
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const model::Column& column = table.columns[i];
    bool numbered = wanted.source_number != 0 && column.source_number != 0;
    if (numbered ? column.source_number == wanted.source_number : column.name == wanted.name) return i;
  }
  return table.columns.size();
}

}  // namespace

std::string printed(const model::LogicalType& type, const Value& value) {
  if (value.state == model::CellState::kNull) return "NULL";
  if (value.state == model::CellState::kNotSent) return "(not sent)";
  if (value.state == model::CellState::kOutOfDomain) return value.bytes;
  const char* p = value.bytes.data();
  switch (type.id) {
    case model::TypeId::kBoolean: return *p != 0 ? "true" : "false";
    case model::TypeId::kInt1: return fmt::format("{}", base::load_native<std::int8_t>(p));
    case model::TypeId::kInt2: return fmt::format("{}", base::load_native<std::int16_t>(p));
    case model::TypeId::kInt4: return fmt::format("{}", base::load_native<std::int32_t>(p));
    case model::TypeId::kInt8: return fmt::format("{}", base::load_native<std::int64_t>(p));
    case model::TypeId::kUint1: return fmt::format("{}", base::load_native<std::uint8_t>(p));
    case model::TypeId::kUint2: return fmt::format("{}", base::load_native<std::uint16_t>(p));
    case model::TypeId::kUint4: return fmt::format("{}", base::load_native<std::uint32_t>(p));
    case model::TypeId::kUint8: return fmt::format("{}", base::load_native<std::uint64_t>(p));
    case model::TypeId::kReal4: return fmt::format("{}", base::load_native<float>(p));
    case model::TypeId::kReal8: return fmt::format("{}", base::load_native<double>(p));
    default:
      return type.is_text() || type.is_unconstrained_numeric() ? value.bytes : hexadecimal(value.bytes);
  }
}

std::string printed_key(const model::TableVersion& table, const Row& row) {
  std::string text;
  for (std::uint32_t column : identity_columns(table)) {
    if (!text.empty()) text += ", ";
    text += table.columns[column].name + "=" + printed(table.columns[column].type, row[column]);
  }
  return text;
}

std::vector<model::Cell> cells_of(const Row& row) {
  std::vector<model::Cell> cells;
  for (const Value& value : row) cells.push_back({value.state, value.bytes});
  return cells;
}

Row row_of(std::span<const model::Cell> cells) {
  Row row;
  for (const model::Cell& cell : cells) row.push_back({cell.state, std::string(cell.bytes)});
  return row;
}

std::vector<std::uint32_t> identity_columns(const model::TableVersion& table) {
  if (table.identity == model::RowIdentity::kKey) return table.key;
  std::vector<std::uint32_t> all(table.columns.size());
  std::iota(all.begin(), all.end(), 0U);
  return all;
}

std::string identity_of(const model::TableVersion& table, const Row& row) {
  std::vector<Value> values;
  for (std::uint32_t column : identity_columns(table)) values.push_back(row[column]);
  return identity_of(values);
}

std::string identity_of(std::span<const Value> identity_values) {
  std::string text;
  for (const Value& value : identity_values) {
    text += static_cast<char>(value.state);
    base::append_native(text, value.bytes.size());
    text += value.bytes;
  }
  return text;
}

Row projected(const Row& row, const model::TableVersion& from, const model::TableVersion& to) {
  if (&from == &to) return row;
  Row result;
  for (const model::Column& column : to.columns) {
    std::size_t at = find_column(from, column);
    result.push_back(at < row.size() ? row[at] : null_value());
  }
  return result;
}

std::int64_t bytes_of(const Row& row) {
  std::int64_t bytes = 0;
  for (const Value& value : row) bytes += static_cast<std::int64_t>(sizeof(Value) + value.bytes.size());
  return bytes;
}

}  // namespace ferry::test_support
