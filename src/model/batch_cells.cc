#include "model/batch_cells.h"

#include <arrow/api.h>

namespace ferry::model {
namespace {

bool bit_at(const std::uint8_t* bits, std::int64_t at) {
  auto bit = static_cast<std::uint64_t>(at);
  return ((bits[bit >> 3U] >> (bit & 7U)) & 1U) != 0;
}

}  // namespace

BatchCells::BatchCells(const RecordBatch& batch) : batch_(batch), cells_(batch.table->columns.size()) {
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const arrow::ArrayData& data = *batch.rows->column_data(static_cast<int>(i));
    auto address = [&](std::size_t buffer) {
      return buffer < data.buffers.size() && data.buffers[buffer] ? data.buffers[buffer]->data() : nullptr;
    };
    const LogicalType& type = batch.table->columns[i].type;
    bool varies = type.is_variable();
    columns_.push_back({.validity = address(0),
                        .values = reinterpret_cast<const char*>(address(varies ? 2 : 1)),
                        .offsets = varies ? reinterpret_cast<const std::int32_t*>(address(1)) : nullptr,
                        .start = data.offset,
                        .size = fixed_cell_size(type),
                        .is_bits = type.id == TypeId::kBoolean});
  }
}

Cell BatchCells::cell_of(const Column& column, std::int64_t row) {
  std::int64_t at = column.start + row;
  if (column.validity != nullptr && !bit_at(column.validity, at))
    return {.state = CellState::kNull, .bytes = {}};
  if (column.is_bits) {
    static constexpr std::string_view kTruths("\0\1", 2);
    bool value = bit_at(reinterpret_cast<const std::uint8_t*>(column.values), at);
    return {.state = CellState::kValue, .bytes = kTruths.substr(value ? 1 : 0, 1)};
  }
  if (column.offsets != nullptr) {
    auto size = static_cast<std::size_t>(column.offsets[at + 1] - column.offsets[at]);
    // An array of empty texts may have no buffer at all.
    if (size == 0) return {.state = CellState::kValue, .bytes = std::string_view("", 0)};
    return {.state = CellState::kValue, .bytes = {column.values + column.offsets[at], size}};
  }
  return {.state = CellState::kValue,
          .bytes = {column.values + at * static_cast<std::int64_t>(column.size), column.size}};
}

std::span<const Cell> BatchCells::row(std::int64_t row) {
  for (std::size_t i = 0; i < columns_.size(); ++i) cells_[i] = cell_of(columns_[i], row);
  const std::vector<OutOfDomain>& values = batch_.out_of_domain;
  while (next_out_of_domain_ < values.size() && values[next_out_of_domain_].row < row) ++next_out_of_domain_;
  for (; next_out_of_domain_ < values.size() && values[next_out_of_domain_].row == row;
       ++next_out_of_domain_) {
    const OutOfDomain& value = values[next_out_of_domain_];
    cells_[value.column] = {.state = CellState::kOutOfDomain, .bytes = value.text};
  }
  return cells_;
}

}  // namespace ferry::model
