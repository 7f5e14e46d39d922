#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "formats/byte_buffer.h"
#include "formats/parquet/parquet_writer.h"

namespace arrow {
class Buffer;
}
namespace arrow::util {
class Codec;
}

namespace ferry::formats {

// Compresses the pages of one object. Used by one thread.
class PageCompressor {
 public:
  explicit PageCompressor(ParquetOptions::Codec codec);
  ~PageCompressor();

  // The page as it is to be stored; nothing of `page` is kept.
  std::shared_ptr<arrow::Buffer> compress(std::string_view page);

  // The same of a page in pieces, for one that holds a huge value: neither the page nor a second copy of what
  // it becomes is ever in memory.
  std::shared_ptr<arrow::Buffer> compress_pieces(std::span<const std::string_view> pieces);

 private:
  void append_snappy(std::span<const std::string_view> pieces, ByteBuffer& out);
  void append_stream(std::span<const std::string_view> pieces, ByteBuffer& out);

  const ParquetOptions::Codec codec_name_;
  std::unique_ptr<arrow::util::Codec> codec_;  // Null for kNone.
  ByteBuffer scratch_;
};

}  // namespace ferry::formats
