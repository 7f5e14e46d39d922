#include "model/batch_cells.h"

#include <arrow/api.h>
#include <gtest/gtest.h>

#include <array>

#include "base/bytes.h"

namespace ferry::model {
namespace {

template <typename T>
std::string native(T value) {
  std::string bytes;
  base::append_native(bytes, value);
  return bytes;
}

// One type, three rows: a null, a value, another value; the cells' bytes.
struct Sample {
  LogicalType type;
  std::array<std::string, 2> cells;
};

// An array of the canonical Arrow type, made of buffers by this test itself. The row in front of the first is
// there because arrays may begin anywhere in their buffers.
std::shared_ptr<arrow::Array> array_of(const Sample& sample) {
  const std::vector<std::string> rows = {sample.cells[0], "", sample.cells[0], sample.cells[1]};
  std::string validity(1, '\x0D');  // Rows 0, 2 and 3.
  std::string offsets = native<std::int32_t>(0);
  std::string values;
  std::uint8_t bits = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::string bytes = rows[i];
    if (!sample.type.is_variable()) bytes.resize(fixed_cell_size(sample.type));
    if (!bytes.empty() && bytes[0] == 1) bits |= static_cast<std::uint8_t>(1U << i);
    values += bytes;
    offsets += native(static_cast<std::int32_t>(values.size()));
  }
  if (sample.type.id == TypeId::kBoolean) values = std::string(1, static_cast<char>(bits));
  std::vector<std::shared_ptr<arrow::Buffer>> buffers = {arrow::Buffer::FromString(validity)};
  if (sample.type.is_variable()) buffers.push_back(arrow::Buffer::FromString(offsets));
  buffers.push_back(arrow::Buffer::FromString(values));
  return arrow::MakeArray(arrow::ArrayData::Make(arrow_type(sample.type), 3, std::move(buffers), 1, 1));
}

std::vector<Sample> all_types() {
  std::string decimal = native<std::int64_t>(-7) + native<std::int64_t>(-1);
  return {{{.id = TypeId::kBoolean}, {std::string(1, '\1'), std::string(1, '\0')}},
          {{.id = TypeId::kInt1}, {native<std::int8_t>(-128), native<std::int8_t>(127)}},
          {{.id = TypeId::kInt2}, {native<std::int16_t>(-3), native<std::int16_t>(300)}},
          {{.id = TypeId::kInt4}, {native<std::int32_t>(-3), native<std::int32_t>(70000)}},
          {{.id = TypeId::kInt8}, {native<std::int64_t>(-3), native<std::int64_t>(1) + ""}},
          {{.id = TypeId::kUint1}, {native<std::uint8_t>(255), native<std::uint8_t>(2)}},
          {{.id = TypeId::kUint2}, {native<std::uint16_t>(65535), native<std::uint16_t>(2)}},
          {{.id = TypeId::kUint4}, {native<std::uint32_t>(4294967295U), native<std::uint32_t>(2)}},
          {{.id = TypeId::kUint8}, {native<std::uint64_t>(UINT64_MAX), native<std::uint64_t>(2)}},
          {{.id = TypeId::kReal4}, {native(1.5F), native(-0.0F)}},
          {{.id = TypeId::kReal8}, {native(1.5), native(-0.0)}},
          {{.id = TypeId::kNumeric, .precision = 38, .scale = 2}, {decimal, std::string(16, '\0')}},
          {{.id = TypeId::kNumeric}, {"-12.340", "1e9"}},
          {{.id = TypeId::kString, .length = 3}, {"abc", ""}},
          {{.id = TypeId::kWstring}, {"äöü", std::string("a\0b", 3)}},
          {{.id = TypeId::kClob}, {"text", ""}},
          {{.id = TypeId::kNclob}, {std::string(100000, 'x'), "y"}},
          {{.id = TypeId::kBytes}, {std::string("\0\xff", 2), ""}},
          {{.id = TypeId::kBlob}, {std::string("\xff\xfe", 2), "b"}},
          {{.id = TypeId::kDate}, {native<std::int32_t>(-1), native<std::int32_t>(20000)}},
          {{.id = TypeId::kTime, .scale = 6}, {native<std::int64_t>(1), native<std::int64_t>(86399999999)}},
          {{.id = TypeId::kDatetime, .scale = 6},
           {native<std::int64_t>(-5), native<std::int64_t>(1700000000000000)}}};
}

TEST(BatchCells, EveryTypesArrowFormGivesItsCellForm) {
  std::vector<Sample> samples = all_types();
  auto table = std::make_shared<TableVersion>();
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  for (const Sample& sample : samples) {
    table->columns.push_back(
        {.name = to_string(sample.type) + std::to_string(arrays.size()), .type = sample.type});
    arrays.push_back(array_of(sample));
    ASSERT_TRUE(arrays.back()->ValidateFull().ok()) << to_string(sample.type);
  }
  EXPECT_EQ(samples.back().type.id, TypeId::kDatetime) << "the last of the types";
  RecordBatch batch{.table = table, .rows = arrow::RecordBatch::Make(arrow_schema(*table), 3, arrays)};
  BatchCells cells(batch);
  for (const Cell& cell : cells.row(0)) EXPECT_EQ(cell.state, CellState::kNull);
  for (std::size_t row : {1U, 2U}) {
    auto found = cells.row(static_cast<std::int64_t>(row));
    for (std::size_t i = 0; i < samples.size(); ++i) {
      EXPECT_EQ(found[i].state, CellState::kValue);
      EXPECT_EQ(found[i].bytes, samples[i].cells[row - 1]) << table->columns[i].name;
    }
  }
}

TEST(BatchCells, ValuesOutOfDomainComeWithTheirText) {
  auto table = std::make_shared<TableVersion>();
  Sample sample{{.id = TypeId::kDate}, {native<std::int32_t>(1), native<std::int32_t>(2)}};
  table->columns = {{.name = "a", .type = sample.type}, {.name = "b", .type = sample.type}};
  RecordBatch batch{
      .table = table,
      .rows = arrow::RecordBatch::Make(arrow_schema(*table), 3, {array_of(sample), array_of(sample)}),
      .out_of_domain = {{.row = 0, .column = 1, .text = "infinity"},
                        {.row = 2, .column = 0, .text = "-infinity"}}};
  BatchCells cells(batch);
  EXPECT_EQ(cells.row(1)[0].state, CellState::kValue);
  auto last = cells.row(2);
  EXPECT_EQ(last[0].state, CellState::kOutOfDomain);
  EXPECT_EQ(last[0].bytes, "-infinity");
  EXPECT_EQ(last[1].state, CellState::kValue);
  BatchCells again(batch);
  EXPECT_EQ(again.row(0)[1].bytes, "infinity");
}

}  // namespace
}  // namespace ferry::model
