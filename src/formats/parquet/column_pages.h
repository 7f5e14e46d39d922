#pragma once

#include <cstdint>
#include <memory>

#include "formats/parquet/page_compressor.h"

namespace arrow {
class Array;
class DataType;
}  // namespace arrow
namespace parquet {
class ColumnChunkMetaDataBuilder;
class ColumnDescriptor;
class PageWriter;
class WriterProperties;
}  // namespace parquet

namespace ferry::formats {

// One column of the open row group: encodes rows into pages as they come, compresses each page when it is
// full, and holds the pages until the group is written. Used by one thread.
//
// Parquet's own column writers would do the same; but they copy every value through several stages, and a
// huge value four times. Here a value is copied once, into its page. What a file needs beside the pages
// (their heads, the metadata) is left to the Parquet library.
class ColumnPages {
 public:
  virtual ~ColumnPages() = default;

  // Rows in the physical form of ParquetColumn::physical(); none is null where the column is required.
  virtual void append(const arrow::Array& values) = 0;

  // Pages by their compressed size, values not yet in a page by their encoded one.
  virtual std::int64_t held_bytes() const = 0;

  // Writes the rows appended since the last call as a column chunk, and holds nothing afterwards. Returns the
  // uncompressed size.
  virtual std::int64_t write(parquet::PageWriter& pages, parquet::ColumnChunkMetaDataBuilder& metadata) = 0;
};

// Everything given outlives it. `type` is the Arrow type of the arrays that append() will see.
std::unique_ptr<ColumnPages> make_column_pages(const parquet::ColumnDescriptor& column,
                                               const arrow::DataType& type,
                                               const parquet::WriterProperties& properties,
                                               PageCompressor& compressor);

}  // namespace ferry::formats
