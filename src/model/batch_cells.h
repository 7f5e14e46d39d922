#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/change_batch.h"
#include "model/record_batch.h"

namespace ferry::model {

// The rows of a record batch as cells: from the canonical Arrow form to the canonical cell form of each type
// (logical_type.h). Nothing is copied: a cell's bytes are the batch's. The batch must outlive it. Used by one
// thread, which asks for the rows in order.
class BatchCells {
 public:
  explicit BatchCells(const RecordBatch& batch);

  // One cell per column of the row. Valid until the next call, their bytes as long as the batch.
  std::span<const Cell> row(std::int64_t row);

 private:
  // The buffers of one column.
  struct Column {
    const std::uint8_t* validity = nullptr;  // Null where no value is.
    const char* values = nullptr;
    const std::int32_t* offsets = nullptr;  // Of types of varying length.
    std::int64_t start = 0;                 // Where the first row lies in the buffers.
    std::size_t size = 0;                   // Of one value; 0 = varying.
    bool is_bits = false;                   // BOOLEAN: values are bits.
  };
  static Cell cell_of(const Column& column, std::int64_t row);

  const RecordBatch& batch_;
  std::vector<Column> columns_;
  std::vector<Cell> cells_;
  std::size_t next_out_of_domain_ = 0;
};

}  // namespace ferry::model
