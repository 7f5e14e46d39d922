#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "formats/array_view.h"
#include "formats/parquet/parquet_writer.h"

namespace arrow {
class Array;
class ArrayBuilder;
class MemoryPool;
}  // namespace arrow

namespace ferry::formats {

// The path of one column's values from their canonical Arrow form into that which the Parquet encoder takes,
// chosen by the column's type once per object. Cells of changes are gathered in the canonical form first and
// then go the same way.
class ParquetColumn {
 public:
  virtual ~ParquetColumn() = default;

  struct Physical {
    std::shared_ptr<arrow::Array> values;
    std::int64_t cut = 0;  // How many values lost digits of the second.
  };
  virtual Physical physical(const std::shared_ptr<arrow::Array>& canonical) const = 0;

  virtual void append_null() = 0;
  // kCut: physical() will cut digits of the second.
  enum class Appended : std::uint8_t { kWhole, kCut };
  virtual Appended append_cell(std::string_view bytes) = 0;
  // What was appended, in the canonical form; the column is empty then.
  virtual std::shared_ptr<arrow::Array> take_cells() = 0;
};

std::unique_ptr<ParquetColumn> make_parquet_column(const model::LogicalType& type,
                                                   const ParquetOptions& options, arrow::MemoryPool* pool);

// A value of a DATETIME column that stands where the canonical array has a null.
struct MicrosAt {
  std::int64_t row;
  std::int64_t micros;
};

// `array` with these values put in.
std::shared_ptr<arrow::Array> with_micros(const std::shared_ptr<arrow::Array>& array,
                                          std::span<const MicrosAt> micros, arrow::MemoryPool* pool);

// The size of rows by the PLAIN encoding, about: an upper bound of what they add to an object.
class PlainSize {
 public:
  void bind(const arrow::Array& array);
  std::int64_t of_rows(std::int64_t first, std::int64_t count) const;

 private:
  ArrayView view_;
  std::int64_t value_size_ = 0;
};

}  // namespace ferry::formats
