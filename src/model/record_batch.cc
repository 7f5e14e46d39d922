#include "model/record_batch.h"

#include <arrow/api.h>
#include <arrow/memory_pool.h>

#include <cstdlib>

#include "base/error.h"

namespace ferry::model {

arrow::MemoryPool* memory_pool() {
  static arrow::MemoryPool* const chosen = [] {
    arrow::MemoryPool* pool = nullptr;
    if (std::getenv("ARROW_DEFAULT_MEMORY_POOL") == nullptr && arrow::jemalloc_memory_pool(&pool).ok())
      return pool;
    return arrow::default_memory_pool();
  }();
  return chosen;
}

std::int64_t row_count(const RecordBatch& batch) { return batch.rows->num_rows(); }

std::shared_ptr<arrow::DataType> arrow_type(const LogicalType& type) {
  switch (type.id) {
    case TypeId::kBoolean: return arrow::boolean();
    case TypeId::kInt1: return arrow::int8();
    case TypeId::kInt2: return arrow::int16();
    case TypeId::kInt4: return arrow::int32();
    case TypeId::kInt8: return arrow::int64();
    case TypeId::kUint1: return arrow::uint8();
    case TypeId::kUint2: return arrow::uint16();
    case TypeId::kUint4: return arrow::uint32();
    case TypeId::kUint8: return arrow::uint64();
    case TypeId::kReal4: return arrow::float32();
    case TypeId::kReal8: return arrow::float64();
    case TypeId::kNumeric:
      if (type.is_unconstrained_numeric()) return arrow::utf8();
      return arrow::decimal128(type.precision, type.scale);
    case TypeId::kString:
    case TypeId::kWstring:
    case TypeId::kClob:
    case TypeId::kNclob: return arrow::utf8();
    case TypeId::kBytes:
    case TypeId::kBlob: return arrow::binary();
    case TypeId::kDate: return arrow::date32();
    case TypeId::kTime: return arrow::time64(arrow::TimeUnit::MICRO);
    case TypeId::kDatetime: return arrow::timestamp(arrow::TimeUnit::MICRO, "UTC");
  }
  throw base::Error(base::ErrorKind::kInternal, "a logical type without an Arrow form");
}

std::shared_ptr<arrow::Schema> arrow_schema(const TableVersion& table) {
  arrow::FieldVector fields;
  fields.reserve(table.columns.size());
  for (const Column& column : table.columns)
    fields.push_back(arrow::field(column.name, arrow_type(column.type)));
  return arrow::schema(std::move(fields));
}

}  // namespace ferry::model
