#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "formats/object_writer.h"

namespace ferry::formats {

// DMS writes "AWS".
inline constexpr std::string_view kParquetCreatedBy = "Ferry";

// The names are DMS's endpoint settings'.
struct ParquetOptions {
  enum class Codec : std::uint8_t { kNone, kSnappy, kGzip, kZstd };
  enum class Version : std::uint8_t { k1_0, k2_0 };  // NOLINT(readability-identifier-naming)
  // The two dictionary encodings are one: which number a file has for it follows from its version.
  enum class Encoding : std::uint8_t { kPlain, kPlainDictionary, kRleDictionary };

  Codec codec = Codec::kNone;                    // CompressionType, parquetCompression.
  Version version = Version::k1_0;               // ParquetVersion.
  Encoding encoding = Encoding::kRleDictionary;  // EncodingType.
  // A dictionary only where the source's statistics say few distinct values: for every other column building
  // one costs more than reading, decoding and compressing it, and makes the object larger.
  bool dictionary_by_statistics = false;
  std::int64_t rows_estimate =
      -1;  // The source's estimate of the table's rows, for the rule above; -1 = unknown.
  std::int64_t dict_page_size_limit = 1'048'576;  // DictPageSizeLimit, bytes.
  std::int64_t data_page_size = 1'048'576;        // DataPageSize, bytes.
  std::int64_t row_group_length = 10'000;         // RowGroupLength, rows.
  // A row group also closes before a row that takes what is held of it over this, so that memory does not
  // follow row_group_length.
  std::int64_t row_group_bytes_max = 64 * 1'048'576;
  bool statistics = true;                  // EnableStatistics.
  bool timestamp_in_milliseconds = false;  // ParquetTimestampInMillisecond.
};

// bytes() is what the sink has taken plus what is held: compressed pages, and values that are in no page yet
// by their encoded size, so that it falls when a page is compressed. The footer, written last, is not in it.
// `sink` outlives the writer.
std::unique_ptr<ObjectWriter> make_parquet_writer(ByteSink& sink, ObjectShape shape, ParquetOptions options);

}  // namespace ferry::formats
