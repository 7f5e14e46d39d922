#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/table_version.h"

namespace arrow {
class RecordBatch;
class Schema;
class DataType;
class Array;
class MemoryPool;
}  // namespace arrow

namespace ferry::model {

// A value without a form in its column's canonical type (logical_type.h). The Arrow cell is null.
struct OutOfDomain {
  std::int64_t row;
  std::uint32_t column;
  std::string text;  // As the source prints it.
};

// Rows of one table version in columns, for loads: column i is of arrow_type(table->columns[i].type).
struct RecordBatch {
  TableVersionPtr table;
  std::shared_ptr<arrow::RecordBatch> rows;
  std::vector<OutOfDomain> out_of_domain;  // By row, then column.
  std::int64_t bytes = 0;                  // Roughly what `rows` holds in memory.
};

std::int64_t row_count(const RecordBatch& batch);

// Where the memory of batches and of what encodes them comes from: an allocator that gives a huge value's
// memory back as soon as it is freed, which Arrow's own default does not. ARROW_DEFAULT_MEMORY_POOL decides
// where it is set (https://arrow.apache.org/docs/cpp/env_vars.html).
arrow::MemoryPool* memory_pool();

// The canonical Arrow type of a logical type.
std::shared_ptr<arrow::DataType> arrow_type(const LogicalType& type);
// The canonical schema of a table version: every field nullable, names as in the source.
std::shared_ptr<arrow::Schema> arrow_schema(const TableVersion& table);

}  // namespace ferry::model
