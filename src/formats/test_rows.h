#pragma once

#include <arrow/api.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "formats/object_writer.h"
#include "formats/text_form.h"

// For the writers' tests only: one table of cells as a load's batch and as changes.
namespace ferry::formats {

struct StringSink : ByteSink {
  std::string text;
  void write(std::string_view bytes) override { text.append(bytes); }
};

struct CollectedErrors : model::RowErrorSink {
  std::vector<model::RowError> errors;
  std::vector<model::DataWarning> warnings;
  void row_error(const model::RowError& error) override { errors.push_back(error); }
  void data_warning(const model::DataWarning& warning) override { warnings.push_back(warning); }
};

template <typename T>
std::string native_bytes(T value) {
  std::string bytes;
  base::append_native(bytes, value);
  return bytes;
}

struct TestCell {
  model::CellState state = model::CellState::kNull;
  std::string bytes;

  TestCell() = default;
  // Implicit, so that rows are written as lists of values.
  // NOLINTNEXTLINE(google-explicit-constructor)
  TestCell(std::string canonical) : state(model::CellState::kValue), bytes(std::move(canonical)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  TestCell(const char* text) : TestCell(std::string(text)) {}
};

inline TestCell not_sent() {
  TestCell cell;
  cell.state = model::CellState::kNotSent;
  return cell;
}

inline TestCell out_of_domain(std::string text) {
  TestCell cell(std::move(text));
  cell.state = model::CellState::kOutOfDomain;
  return cell;
}

template <typename T>
TestCell cell(T value) {
  return TestCell(native_bytes(value));
}

using TestRow = std::vector<TestCell>;

struct TestTable {
  model::TableVersionPtr version;
  std::vector<TestRow> rows;

  // Built from buffers, not by the code under test.
  model::RecordBatch batch() const {
    model::RecordBatch batch{.table = version, .rows = nullptr, .out_of_domain = {}};
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (std::size_t i = 0; i < version->columns.size(); ++i) arrays.push_back(array_of(i));
    batch.rows = arrow::RecordBatch::Make(model::arrow_schema(*version),
                                          static_cast<std::int64_t>(rows.size()), arrays);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      for (std::uint32_t i = 0; i < version->columns.size(); ++i) {
        if (rows[row][i].state != model::CellState::kOutOfDomain) continue;
        batch.out_of_domain.push_back({static_cast<std::int64_t>(row), i, rows[row][i].bytes});
      }
    }
    return batch;
  }

  static std::vector<model::Cell> cells_of(const TestRow& row) {
    std::vector<model::Cell> cells;
    for (const TestCell& cell : row) cells.push_back({cell.state, cell.bytes});
    return cells;
  }

 private:
  std::shared_ptr<arrow::Array> array_of(std::size_t column) const {
    const model::LogicalType& type = version->columns[column].type;
    std::string validity((rows.size() + 7) / 8, '\0');
    std::string values;
    std::string offsets = native_bytes(std::int32_t{0});
    std::int64_t nulls = 0;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const TestCell& cell = rows[row][column];
      bool present = cell.state == model::CellState::kValue;
      std::string bytes = present ? cell.bytes : std::string(model::fixed_cell_size(type), '\0');
      if (type.id == model::TypeId::kBoolean) {
        if (row % 8 == 0) values += '\0';
        if (present && bytes[0] != 0) set_bit(values, row);
      } else {
        values += bytes;
      }
      base::append_native(offsets, static_cast<std::int32_t>(values.size()));
      if (present) {
        set_bit(validity, row);
      } else {
        ++nulls;
      }
    }
    std::vector<std::shared_ptr<arrow::Buffer>> buffers = {arrow::Buffer::FromString(validity)};
    if (type.is_variable()) buffers.push_back(arrow::Buffer::FromString(offsets));
    buffers.push_back(arrow::Buffer::FromString(values));
    return arrow::MakeArray(arrow::ArrayData::Make(
        model::arrow_type(type), static_cast<std::int64_t>(rows.size()), std::move(buffers), nulls));
  }

  static void set_bit(std::string& bits, std::size_t at) {
    bits[at / 8] = static_cast<char>(static_cast<unsigned char>(bits[at / 8]) | (1U << (at % 8)));
  }
};

inline model::Column column(std::string name, model::LogicalType type) {
  model::Column column;
  column.name = std::move(name);
  column.type = type;
  return column;
}

inline TestTable make_table(std::vector<model::Column> columns, std::vector<TestRow> rows,
                            std::vector<std::uint32_t> key = {0}) {
  auto version = std::make_shared<model::TableVersion>();
  version->name = {"hr", "emp"};
  version->columns = std::move(columns);
  version->identity = key.empty() ? model::RowIdentity::kNone : model::RowIdentity::kKey;
  version->key = std::move(key);
  return {std::move(version), std::move(rows)};
}

// hr.emp(id int pk, name varchar, city varchar).
inline TestTable employees(std::vector<TestRow> rows) {
  using model::TypeId;
  return make_table({column("id", {.id = TypeId::kInt4}), column("name", {.id = TypeId::kWstring}),
                     column("city", {.id = TypeId::kWstring})},
                    std::move(rows));
}

// Every logical type with the values at its edges; nulls everywhere.
inline TestTable edge_values() {
  using model::LogicalType;
  using model::TypeId;
  std::vector<std::pair<LogicalType, std::vector<TestCell>>> columns;
  const auto add = [&](LogicalType type, std::vector<TestCell> cells) {
    columns.emplace_back(type, std::move(cells));
  };
  const auto add_integer = [&]<typename T>(TypeId id, T) {
    add({.id = id},
        {cell(std::numeric_limits<T>::min()), cell(std::numeric_limits<T>::max()), cell(T{0}), cell(T{7})});
  };
  const auto add_real = [&]<typename T>(TypeId id, T) {
    using Limits = std::numeric_limits<T>;
    add({.id = id}, {cell(T{0}), cell(-T{0}), cell(Limits::max()), cell(Limits::lowest()),
                     cell(Limits::min()), cell(Limits::denorm_min()), cell(Limits::quiet_NaN()),
                     cell(Limits::infinity()), cell(-Limits::infinity()), cell(T(0.1)), cell(T(506560))});
  };
  const auto add_numeric = [&](std::int16_t precision, std::int16_t scale) {
    Int128 largest = 0;
    for (int i = 0; i < precision; ++i) largest = 10 * largest + 9;
    Int128 one = 1;
    add({.id = TypeId::kNumeric, .precision = precision, .scale = scale},
        {cell(largest), cell(static_cast<Int128>(-largest)), cell(Int128{0}), cell(one),
         cell(static_cast<Int128>(-one))});
  };
  const auto add_text = [&](TypeId id) {
    add({.id = id}, {"", "plain", "He said \"hi\", ok", "a\nb", "a\r\nb", "Carine ", "Kelly's", "NULL",
                     "äöü€😀", std::string(300, 'x') + "\"" + std::string(300, 'y')});
  };

  add({.id = TypeId::kBoolean}, {cell(false), cell(true)});
  add_integer(TypeId::kInt1, std::int8_t{});
  add_integer(TypeId::kInt2, std::int16_t{});
  add_integer(TypeId::kInt4, std::int32_t{});
  add_integer(TypeId::kInt8, std::int64_t{});
  add_integer(TypeId::kUint1, std::uint8_t{});
  add_integer(TypeId::kUint2, std::uint16_t{});
  add_integer(TypeId::kUint4, std::uint32_t{});
  add_integer(TypeId::kUint8, std::uint64_t{});
  add_real(TypeId::kReal4, float{});
  add_real(TypeId::kReal8, double{});
  for (std::int16_t precision = 1; precision <= 38; ++precision) {
    add_numeric(precision, static_cast<std::int16_t>(precision / 2));
  }
  add_numeric(38, 38);
  add_numeric(38, 0);
  add_numeric(3, 5);
  add_numeric(3, -2);
  add({.id = TypeId::kNumeric}, {"0", "-12345678901234567890123456789012345678901234567890.000000000001"});
  for (TypeId id : {TypeId::kString, TypeId::kWstring, TypeId::kClob, TypeId::kNclob}) add_text(id);
  for (TypeId id : {TypeId::kBytes, TypeId::kBlob}) {
    add({.id = id}, {"", std::string("\0\xff\x0a\"", 4), "bytes"});
  }
  add({.id = TypeId::kDate}, {cell(std::int32_t{0}), cell(std::int32_t{-1}), cell(std::int32_t{-719'529}),
                              cell(std::int32_t{2'145'042'905}), cell(std::int32_t{-2'440'550})});
  for (std::int16_t scale = 0; scale <= 6; ++scale) {
    // With no more digits than the scale has.
    std::int64_t unit = 1;
    for (int i = scale; i < 6; ++i) unit *= 10;
    const auto whole = [&](std::int64_t micros) { return cell(micros / unit * unit); };
    add({.id = TypeId::kTime, .scale = scale}, {whole(0), whole(86'399'999'999), whole(43'200'000'001)});
    add({.id = TypeId::kDatetime, .scale = scale},
        {whole(0), whole(-1'234'567), whole(1'700'000'000'123'456), whole(9'223'371'331'199'999'999),
         whole(-210'866'803'200'000'000), whole(-62'167'219'200'000'000), whole(253'402'300'800'000'000)});
  }

  std::vector<model::Column> described;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    described.push_back(column("c" + std::to_string(i), columns[i].first));
  }
  std::vector<TestRow> rows(29);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const auto& cells = columns[i].second;
      rows[row].push_back((row + i) % 9 == 8 ? TestCell() : cells[row % cells.size()]);
    }
  }
  return make_table(std::move(described), std::move(rows));
}

// One object of all rows of a table, as a load or as changes.
inline void write_as_load(ObjectWriter& writer, const TestTable& table, CollectedErrors& errors,
                          base::UnixMicros timestamp = 0) {
  model::RecordBatch batch = table.batch();
  writer.write_rows({.batch = batch, .timestamp = timestamp}, errors);
  writer.finish();
}

inline void write_as_changes(ObjectWriter& writer, const TestTable& table, CollectedErrors& errors,
                             base::UnixMicros commit_time = 0, char op = 'I') {
  for (const TestRow& row : table.rows) {
    std::vector<model::Cell> cells = TestTable::cells_of(row);
    writer.write_change({.op = op, .commit_time = commit_time, .cells = cells}, errors);
  }
  writer.finish();
}

}  // namespace ferry::formats
