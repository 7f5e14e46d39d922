#pragma once

#include <memory>

#include "formats/parquet/parquet_writer.h"
#include "model/table_version.h"

namespace arrow {
class MemoryPool;
}
namespace parquet {
class WriterProperties;
}
namespace parquet::schema {
class GroupNode;
}

namespace ferry::formats {

// The columns' physical and converted types as DMS writes them (docs/types.md). Table columns are optional,
// the key's too; Op and the timestamp column are required.
std::shared_ptr<parquet::schema::GroupNode> parquet_schema(const ObjectShape& shape,
                                                           const ParquetOptions& options);

std::shared_ptr<parquet::WriterProperties> parquet_properties(const ObjectShape& shape,
                                                              const ParquetOptions& options,
                                                              arrow::MemoryPool* pool);

// Whether a row group's dictionary of this column is likely to be small beside its rows.
bool few_distinct_values(const model::Column& column, const ParquetOptions& options);

// Parquet's DECIMAL(p,s) wants 0 ≤ s ≤ p. A NUMERIC outside of that is written as its text.
bool is_parquet_decimal(const model::LogicalType& type);

// A TIME or DATETIME is written in whole milliseconds.
bool in_milliseconds(const model::LogicalType& type, const ParquetOptions& options);

}  // namespace ferry::formats
