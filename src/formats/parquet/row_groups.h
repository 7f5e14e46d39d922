#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "formats/parquet/parquet_writer.h"

namespace arrow {
class Array;
class MemoryPool;
}  // namespace arrow

namespace ferry::formats {

// One Parquet file, written row group by row group. The columns of the open group are encoded and compressed
// as rows come and held until it closes.
class RowGroups {
 public:
  RowGroups(ByteSink& sink, const ObjectShape& shape, const ParquetOptions& options, arrow::MemoryPool* pool);
  // Without finish() the sink hears nothing more.
  ~RowGroups();

  // Adds rows to the open group, or opens one: an array per column of the file, all of one length, in the
  // form the schema's physical types take. A column is optional, or required and then without nulls.
  void append(const std::vector<std::shared_ptr<arrow::Array>>& columns);
  void close_group();
  void finish();

  std::int64_t group_rows() const { return group_rows_; }
  // What the open group holds: pages by their compressed size, values not yet in a page by their encoded one.
  std::int64_t group_bytes() const { return group_bytes_; }
  // What the sink has taken.
  std::int64_t written_bytes() const;

 private:
  struct File;

  std::unique_ptr<File> file_;
  std::int64_t group_rows_ = 0;
  std::int64_t group_bytes_ = 0;
};

}  // namespace ferry::formats
