#include "formats/parquet/column_pages.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/util/bit_run_reader.h>
#include <arrow/util/bit_util.h>
#include <arrow/util/bitmap_ops.h>
#include <parquet/column_page.h>
#include <parquet/column_writer.h>
#include <parquet/encoding.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/schema.h>
#include <parquet/statistics.h>

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "formats/array_view.h"
#include "formats/byte_buffer.h"
#include "formats/parquet/value_bounds.h"
#include "formats/text_form.h"

// A page is its definition levels, one bit a row where there are nulls, and the values that are not null,
// PLAIN or as indices into the chunk's dictionary
// (https://parquet.apache.org/docs/file-format/data-pages/encodings/). The levels stand before the values and
// their size is known last, so the values begin behind room for the longest levels, and the page begins where
// the levels turn out to.
namespace ferry::formats {
namespace {

using parquet::Encoding;

// Rows of a page: few enough that a page's bytes stay in the processor's cache until it is compressed.
constexpr std::int64_t kPageRowsMax = 8'192;
// Rows encoded at a time.
constexpr std::int64_t kStepRows = 1'024;
// A value from this size on has a page of its own, which is compressed from where the value lies.
constexpr std::int64_t kHugeValueBytes = std::int64_t{4} << 20;
// What a page buffer may hold on to for the pages to come.
constexpr std::size_t kKeptBytesMax = std::size_t{4} << 20;

// The size of the levels, a run's head of up to five bytes, and a bit a row.
constexpr std::size_t kLevelsBytesMax = 4 + 5 + kPageRowsMax / 8;

struct Page {
  std::shared_ptr<arrow::Buffer> bytes;
  std::int32_t rows;
  Encoding::type encoding;
  std::int64_t uncompressed_bytes;
  parquet::EncodedStatistics statistics;
};

// The definition levels of one page: 1 for a value, 0 for null.
class Levels {
 public:
  void add(const arrow::Array& values, std::int64_t first, std::int64_t count) {
    std::int64_t at = values.offset() + first;
    std::int64_t valid = count;
    if (values.null_count() > 0) valid = arrow::internal::CountSetBits(values.null_bitmap_data(), at, count);
    // Bits are kept from the page's first null on.
    if (nulls_ == 0 && valid < count) arrow::bit_util::SetBitsTo(bits_.data(), 0, rows_, true);
    nulls_ += count - valid;
    if (valid < count) {
      arrow::internal::CopyBitmap(values.null_bitmap_data(), at, count, bits_.data(), rows_);
    } else if (nulls_ > 0) {
      arrow::bit_util::SetBitsTo(bits_.data(), rows_, count, true);
    }
    rows_ += count;
  }
  std::int64_t rows() const { return rows_; }
  std::int64_t nulls() const { return nulls_; }
  void clear() { rows_ = nulls_ = 0; }

  // The hybrid of run lengths and packed bits, its size in front: one run, of either kind.
  std::string_view encode() {
    encoded_.shrink_to(0);
    encoded_.room(kLevelsBytesMax);
    encoded_.grow_to(encoded_.data() + sizeof(std::uint32_t));
    if (nulls_ == 0 || nulls_ == rows_) {
      append_varint(static_cast<std::uint64_t>(rows_) << 1U);
      encoded_.append(static_cast<char>(nulls_ == 0 ? 1 : 0));
    } else {
      std::int64_t groups = arrow::bit_util::BytesForBits(rows_);
      arrow::bit_util::SetBitsTo(bits_.data(), rows_, groups * 8 - rows_, false);
      append_varint((static_cast<std::uint64_t>(groups) << 1U) | 1U);
      encoded_.append({reinterpret_cast<const char*>(bits_.data()), static_cast<std::size_t>(groups)});
    }
    auto size = static_cast<std::uint32_t>(encoded_.size() - sizeof(std::uint32_t));
    std::memcpy(encoded_.data(), &size, sizeof size);
    return encoded_.text();
  }

 private:
  void append_varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) encoded_.append(static_cast<char>(value | 0x80U));
    encoded_.append(static_cast<char>(value));
  }

  std::array<std::uint8_t, kPageRowsMax / 8> bits_;
  std::int64_t rows_ = 0;
  std::int64_t nulls_ = 0;
  ByteBuffer encoded_{kLevelsBytesMax};
};

// A value's way from an Arrow array into a page, by type. Native is the array's type, Physical Parquet's.
template <typename NativeType, typename ParquetType>
struct Number {
  using Native = NativeType;
  using Parquet = ParquetType;
  using Physical = typename ParquetType::c_type;
  static constexpr bool kDirect = sizeof(Native) == sizeof(Physical);

  explicit Number(const parquet::ColumnDescriptor&) {}
  std::int64_t width() const { return sizeof(Physical); }
  void put(char* at, const Native* values, std::int64_t count) const {
    if constexpr (kDirect) {
      std::copy_n(reinterpret_cast<const char*>(values), count * width(), at);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        auto value = static_cast<Physical>(values[i]);
        std::memcpy(at + i * width(), &value, sizeof value);
      }
    }
  }
  void dictionary_form(const char* plain, std::int64_t count, std::vector<Physical>& out) const {
    out.resize(static_cast<std::size_t>(count));
    std::copy_n(plain, count * width(), reinterpret_cast<char*>(out.data()));
  }
};

// DECIMAL in as many bytes as its precision needs, the highest first.
struct Decimal {
  using Native = Int128;
  using Parquet = parquet::FLBAType;
  using Physical = parquet::FixedLenByteArray;

  explicit Decimal(const parquet::ColumnDescriptor& column) : width_(column.type_length()) {}
  std::int64_t width() const { return width_; }
  void put(char* at, const Native* values, std::int64_t count) const {
    constexpr std::int64_t kSize = sizeof(Native);
    for (std::int64_t i = 0; i < count; ++i) {
      std::array<std::uint64_t, 2> halves;
      std::memcpy(halves.data(), values + i, sizeof halves);
      std::array<std::uint64_t, 2> swapped{__builtin_bswap64(halves[1]), __builtin_bswap64(halves[0])};
      std::memcpy(at + i * width_, reinterpret_cast<const char*>(swapped.data()) + (kSize - width_),
                  static_cast<std::size_t>(width_));
    }
  }
  void dictionary_form(const char* plain, std::int64_t count, std::vector<Physical>& out) const {
    out.resize(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      out[static_cast<std::size_t>(i)].ptr = reinterpret_cast<const std::uint8_t*>(plain) + i * width_;
    }
  }

 private:
  std::int64_t width_;
};

// What all columns share: pages, levels, and the chunk's dictionary while there is one.
template <typename ParquetType>
class ChunkPages : public ColumnPages {
 public:
  ChunkPages(const parquet::ColumnDescriptor& column, const parquet::WriterProperties& properties,
             PageCompressor& compressor)
      : column_(column),
        properties_(properties),
        compressor_(compressor),
        wants_statistics_(properties.statistics_enabled(column.path())) {
    open_dictionary();
  }

  std::int64_t held_bytes() const override {
    std::int64_t bytes = pages_bytes_ + page_bytes() + levels_.rows() / 8;
    return dictionary_ ? bytes + dictionary_->dict_encoded_size() : bytes;
  }

  std::int64_t write(parquet::PageWriter& pages, parquet::ColumnChunkMetaDataBuilder& metadata) final {
    if (levels_.rows() > 0) close_page();
    std::int64_t bytes = 0;
    if (has_dictionary_) {
      if (dictionary_) keep_dictionary();
      bytes += pages.WriteDictionaryPage(parquet::DictionaryPage(dictionary_page_, dictionary_entries_,
                                                                 properties_.dictionary_page_encoding()));
    }
    for (Page& page : pages_) {
      bytes += pages.WriteDataPage(parquet::DataPageV1(page.bytes, page.rows, page.encoding, Encoding::RLE,
                                                       Encoding::RLE, page.uncompressed_bytes,
                                                       std::move(page.statistics)));
      page.bytes.reset();
    }
    parquet::EncodedStatistics statistics = take_chunk_statistics();
    if (statistics.is_set()) metadata.SetStatistics(statistics);
    pages.Close(has_dictionary_, has_dictionary_ && !dictionary_);
    pages_.clear();
    pages_bytes_ = 0;
    dictionary_page_.reset();
    open_dictionary();
    return bytes;
  }

 protected:
  using Physical = typename ParquetType::c_type;

  bool optional() const { return column_.max_definition_level() > 0; }
  bool wants_statistics() const { return wants_statistics_; }
  std::int64_t page_size() const { return properties_.data_pagesize(); }
  // What the values of the open page take.
  std::int64_t page_bytes() const {
    return dictionary_ ? dictionary_->EstimatedDataEncodedSize()
                       : static_cast<std::int64_t>(values_.size() - kLevelsBytesMax);
  }
  bool page_is_full() const { return levels_.rows() >= kPageRowsMax || page_bytes() >= page_size(); }

  // Values that are not null, in their order.
  void put_in_dictionary(const std::vector<Physical>& values) {
    dictionary_->Put(values.data(), static_cast<int>(values.size()));
    if (dictionary_->dict_encoded_size() < properties_.dictionary_pagesize_limit()) return;
    leave_dictionary();
  }

  // The rest of the chunk is PLAIN.
  void leave_dictionary() {
    if (levels_.rows() > 0) close_page();
    keep_dictionary();
    dictionary_.reset();
  }

  void close_page() {
    std::string_view levels = optional() ? levels_.encode() : std::string_view();
    Encoding::type encoding = Encoding::PLAIN;
    if (dictionary_) {
      encoding = properties_.dictionary_index_encoding();
      auto room = static_cast<int>(dictionary_->EstimatedDataEncodedSize());
      auto* at = reinterpret_cast<std::uint8_t*>(values_.room(static_cast<std::size_t>(room)));
      values_.grow_to(reinterpret_cast<const char*>(at) + dictionary_->WriteIndices(at, room));
    } else {
      finish_plain(values_);
    }
    char* begin = values_.data() + kLevelsBytesMax - levels.size();
    levels.copy(begin, levels.size());
    std::string_view page(begin, values_.size() - kLevelsBytesMax + levels.size());
    add_page(compressor_.compress(page), encoding, static_cast<std::int64_t>(page.size()));
    values_.shrink_to(kLevelsBytesMax);
    if (values_.capacity() > kKeptBytesMax) values_ = page_buffer();
  }

  void add_page(std::shared_ptr<arrow::Buffer> bytes, Encoding::type encoding,
                std::int64_t uncompressed_bytes) {
    pages_bytes_ += bytes->size();
    parquet::EncodedStatistics statistics = take_page_statistics();
    if (wants_statistics()) {
      statistics.set_null_count(levels_.nulls());
      chunk_nulls_ += levels_.nulls();
      statistics.set_is_signed(column_.sort_order() == parquet::SortOrder::SIGNED);
    }
    pages_.push_back({.bytes = std::move(bytes),
                      .rows = static_cast<std::int32_t>(levels_.rows()),
                      .encoding = encoding,
                      .uncompressed_bytes = uncompressed_bytes,
                      .statistics = std::move(statistics)});
    levels_.clear();
  }

  static ByteBuffer page_buffer() {
    ByteBuffer buffer(kLevelsBytesMax + kPageRowsMax * sizeof(std::int64_t));
    buffer.room(kLevelsBytesMax);
    buffer.grow_to(buffer.data() + kLevelsBytesMax);
    return buffer;
  }

  const parquet::ColumnDescriptor& column_;
  const parquet::WriterProperties& properties_;
  PageCompressor& compressor_;
  const bool wants_statistics_;
  Levels levels_;
  ByteBuffer values_ = page_buffer();  // Behind kLevelsBytesMax the PLAIN values of the open page.
  std::unique_ptr<parquet::DictEncoder<ParquetType>> dictionary_;  // Null: values are PLAIN.

 private:
  // Bounds of the page, or of the chunk, which are forgotten; empty where none are wanted.
  virtual parquet::EncodedStatistics take_page_statistics() = 0;
  virtual parquet::EncodedStatistics take_chunk_bounds() = 0;
  virtual void finish_plain(ByteBuffer&) {}

  parquet::EncodedStatistics take_chunk_statistics() {
    parquet::EncodedStatistics statistics = take_chunk_bounds();
    if (wants_statistics()) {
      statistics.set_null_count(std::exchange(chunk_nulls_, 0));
      statistics.set_is_signed(column_.sort_order() == parquet::SortOrder::SIGNED);
    }
    return statistics;
  }

  void open_dictionary() {
    has_dictionary_ =
        ParquetType::type_num != parquet::Type::BOOLEAN && properties_.dictionary_enabled(column_.path());
    if (!has_dictionary_) return;
    auto encoder = parquet::MakeEncoder(ParquetType::type_num, Encoding::PLAIN, /*use_dictionary=*/true,
                                        &column_, properties_.memory_pool());
    dictionary_.reset(dynamic_cast<parquet::DictEncoder<ParquetType>*>(encoder.release()));
  }

  void keep_dictionary() {
    auto size = static_cast<std::size_t>(dictionary_->dict_encoded_size());
    std::string bytes(size, '\0');
    dictionary_->WriteDict(reinterpret_cast<std::uint8_t*>(bytes.data()));
    dictionary_entries_ = dictionary_->num_entries();
    dictionary_page_ = arrow::Buffer::FromString(std::move(bytes));
  }

  std::vector<Page> pages_;
  std::int64_t pages_bytes_ = 0;
  std::int64_t chunk_nulls_ = 0;
  bool has_dictionary_ = false;
  std::shared_ptr<arrow::Buffer> dictionary_page_;
  std::int32_t dictionary_entries_ = 0;
};

// Calls `work(first, count)` for each run of rows that are not null.
template <typename Work>
void for_valid_runs(const arrow::Array& values, std::int64_t first, std::int64_t count, Work&& work) {
  if (values.null_count() == 0) return work(first, count);
  arrow::internal::SetBitRunReader reader(values.null_bitmap_data(), values.offset() + first, count);
  for (auto run = reader.NextRun(); run.length > 0; run = reader.NextRun()) {
    work(first + run.position, run.length);
  }
}

template <typename Kind>
class FixedPages final : public ChunkPages<typename Kind::Parquet> {
  using Base = ChunkPages<typename Kind::Parquet>;
  using Native = typename Kind::Native;

 public:
  FixedPages(const parquet::ColumnDescriptor& column, const parquet::WriterProperties& properties,
             PageCompressor& compressor)
      : Base(column, properties, compressor), kind_(column) {}

  void append(const arrow::Array& values) override {
    std::int64_t row = 0;
    while (row < values.length()) {
      std::int64_t room = std::max<std::int64_t>(1, (this->page_size() - this->page_bytes()) / kind_.width());
      std::int64_t count =
          std::min({values.length() - row, kStepRows, room, kPageRowsMax - this->levels_.rows()});
      take(values, row, count);
      row += count;
      if (this->page_is_full()) this->close_page();
    }
  }

 private:
  void take(const arrow::Array& values, std::int64_t first, std::int64_t count) {
    const auto* natives = reinterpret_cast<const Native*>(view_of(values).values) + values.offset();
    scratch_.shrink_to(0);
    ByteBuffer& out = this->dictionary_ ? scratch_ : this->values_;
    for_valid_runs(values, first, count, [&](std::int64_t from, std::int64_t run) {
      char* at = out.room(static_cast<std::size_t>(run * kind_.width()));
      kind_.put(at, natives + from, run);
      out.grow_to(at + run * kind_.width());
      if (this->wants_statistics()) bounds_.add(natives + from, run);
    });
    this->levels_.add(values, first, count);
    if (!this->dictionary_) return;
    kind_.dictionary_form(scratch_.data(), static_cast<std::int64_t>(scratch_.size()) / kind_.width(),
                          entries_);
    this->put_in_dictionary(entries_);
  }

  parquet::EncodedStatistics encode(const ValueBounds<Native>& bounds) const {
    parquet::EncodedStatistics statistics;
    if (!bounds.known()) return statistics;
    auto bytes_of = [&](Native value) {
      std::string bytes(static_cast<std::size_t>(kind_.width()), '\0');
      kind_.put(bytes.data(), &value, 1);
      return bytes;
    };
    statistics.set_min(bytes_of(bounds.least()));
    statistics.set_max(bytes_of(bounds.greatest()));
    return statistics;
  }
  parquet::EncodedStatistics take_page_statistics() override {
    chunk_bounds_.merge(bounds_);
    return encode(std::exchange(bounds_, {}));
  }
  parquet::EncodedStatistics take_chunk_bounds() override { return encode(std::exchange(chunk_bounds_, {})); }

  const Kind kind_;
  ValueBounds<Native> bounds_;
  ValueBounds<Native> chunk_bounds_;
  ByteBuffer scratch_{0};
  std::vector<typename Kind::Physical> entries_;
};

class BooleanPages final : public ChunkPages<parquet::BooleanType> {
 public:
  using ChunkPages::ChunkPages;

  void append(const arrow::Array& values) override {
    ArrayView view = view_of(values);
    std::int64_t row = 0;
    while (row < values.length()) {
      std::int64_t count = std::min({values.length() - row, kStepRows, kPageRowsMax - levels_.rows()});
      for (std::int64_t i = row; i < row + count; ++i) {
        if (view.is_null(i)) continue;
        bool value = view.value<bool>(i);
        arrow::bit_util::SetBitTo(bits_.data(), bits_used_++, value);
        auto number = static_cast<std::uint8_t>(value);
        if (wants_statistics()) bounds_.add(&number, 1);
      }
      levels_.add(values, row, count);
      row += count;
      if (levels_.rows() >= kPageRowsMax) close_page();
    }
  }

 private:
  void finish_plain(ByteBuffer& out) override {
    std::int64_t bytes = arrow::bit_util::BytesForBits(bits_used_);
    arrow::bit_util::SetBitsTo(bits_.data(), bits_used_, bytes * 8 - bits_used_, false);
    out.append({reinterpret_cast<const char*>(bits_.data()), static_cast<std::size_t>(bytes)});
    bits_used_ = 0;
  }

  static parquet::EncodedStatistics encode(const ValueBounds<std::uint8_t>& bounds) {
    parquet::EncodedStatistics statistics;
    if (!bounds.known()) return statistics;
    statistics.set_min(std::string(1, static_cast<char>(bounds.least())));
    statistics.set_max(std::string(1, static_cast<char>(bounds.greatest())));
    return statistics;
  }
  parquet::EncodedStatistics take_page_statistics() override {
    chunk_bounds_.merge(bounds_);
    return encode(std::exchange(bounds_, {}));
  }
  parquet::EncodedStatistics take_chunk_bounds() override { return encode(std::exchange(chunk_bounds_, {})); }

  std::array<std::uint8_t, kPageRowsMax / 8> bits_;
  std::int64_t bits_used_ = 0;
  ValueBounds<std::uint8_t> bounds_;
  ValueBounds<std::uint8_t> chunk_bounds_;
};

class TextPages final : public ChunkPages<parquet::ByteArrayType> {
 public:
  using ChunkPages::ChunkPages;

  void append(const arrow::Array& values) override {
    ArrayView view = view_of(values);
    std::int64_t row = 0;
    while (row < values.length()) {
      std::int64_t count = rows_for_page(view, row, std::min(values.length() - row, kStepRows));
      if (count == 0) {
        close_page();
        continue;
      }
      if (count == 1 && !view.is_null(row) && view.bytes_of_rows(row, 1).size() >= kHugeValueBytes) {
        take_huge(values, row, view.bytes_of_rows(row, 1));
      } else {
        take(values, view, row, count);
      }
      row += count;
      if (page_is_full()) close_page();
    }
  }

 private:
  static constexpr std::int64_t kLengthSize = sizeof(std::uint32_t);

  // The most rows that the page has room for, none where it is to be closed first; a huge value comes alone.
  std::int64_t rows_for_page(const ArrayView& view, std::int64_t first, std::int64_t count) const {
    count = std::min(count, kPageRowsMax - levels_.rows());
    const auto size_of = [&](std::int64_t rows) {
      return rows * kLengthSize + static_cast<std::int64_t>(view.bytes_of_rows(first, rows).size());
    };
    std::int64_t room = page_size() - page_bytes();
    if (size_of(count) <= std::min(room, kHugeValueBytes)) return count;
    std::int64_t fits = 0;
    while (count - fits > 1) {
      std::int64_t middle = fits + (count - fits) / 2;
      (size_of(middle) <= std::min(room, kHugeValueBytes) ? fits : count) = middle;
    }
    if (fits > 0) return fits;
    return levels_.rows() == 0 ? 1 : 0;
  }

  void take(const arrow::Array& values, const ArrayView& view, std::int64_t first, std::int64_t count) {
    if (dictionary_) {
      entries_.clear();
      for_valid_runs(values, first, count, [&](std::int64_t from, std::int64_t run) {
        for (std::int64_t row = from; row < from + run; ++row) {
          std::string_view value = view.bytes_of_rows(row, 1);
          if (wants_statistics()) bounds_.add(value);
          entries_.emplace_back(value);
        }
      });
      levels_.add(values, first, count);
      put_in_dictionary(entries_);
      return;
    }
    auto size = static_cast<std::int64_t>(view.bytes_of_rows(first, count).size()) + count * kLengthSize;
    char* at = values_.room(static_cast<std::size_t>(size));
    for_valid_runs(values, first, count, [&](std::int64_t from, std::int64_t run) {
      for (std::int64_t row = from; row < from + run; ++row) {
        std::string_view value = view.bytes_of_rows(row, 1);
        auto length = static_cast<std::uint32_t>(value.size());
        std::memcpy(at, &length, sizeof length);
        value.copy(at + sizeof length, value.size());
        at += sizeof length + value.size();
        if (wants_statistics()) bounds_.add(value);
      }
    });
    values_.grow_to(at);
    levels_.add(values, first, count);
  }

  // The page is empty.
  void take_huge(const arrow::Array& values, std::int64_t row, std::string_view value) {
    if (dictionary_) leave_dictionary();
    levels_.add(values, row, 1);
    if (wants_statistics()) bounds_.add(value);
    std::string_view levels = optional() ? levels_.encode() : std::string_view();
    auto length = static_cast<std::uint32_t>(value.size());
    std::array<std::string_view, 3> pieces{
        levels, {reinterpret_cast<const char*>(&length), sizeof length}, value};
    auto size = static_cast<std::int64_t>(levels.size() + sizeof length + value.size());
    add_page(compressor_.compress_pieces(pieces), Encoding::PLAIN, size);
  }

  static parquet::EncodedStatistics encode(const TextBounds& bounds) {
    parquet::EncodedStatistics statistics;
    if (auto least = bounds.least()) statistics.set_min(*least);
    if (auto greatest = bounds.greatest()) statistics.set_max(*greatest);
    return statistics;
  }
  parquet::EncodedStatistics take_page_statistics() override {
    chunk_bounds_.merge(bounds_);
    return encode(std::exchange(bounds_, {}));
  }
  parquet::EncodedStatistics take_chunk_bounds() override { return encode(std::exchange(chunk_bounds_, {})); }

  TextBounds bounds_;
  TextBounds chunk_bounds_;
  std::vector<parquet::ByteArray> entries_;
};

template <typename Native, typename ParquetType>
using NumberPages = FixedPages<Number<Native, ParquetType>>;

}  // namespace

std::unique_ptr<ColumnPages> make_column_pages(const parquet::ColumnDescriptor& column,
                                               const arrow::DataType& type,
                                               const parquet::WriterProperties& properties,
                                               PageCompressor& compressor) {
  const auto make = [&]<typename Pages>(std::type_identity<Pages>) -> std::unique_ptr<ColumnPages> {
    return std::make_unique<Pages>(column, properties, compressor);
  };
  const auto number = [&]<typename Native, typename ParquetType>(std::type_identity<Native>, ParquetType) {
    return make(std::type_identity<NumberPages<Native, ParquetType>>{});
  };
  using std::type_identity;
  bool in_64_bits = column.physical_type() == parquet::Type::INT64;
  switch (type.id()) {
    case arrow::Type::BOOL: return make(type_identity<BooleanPages>{});
    case arrow::Type::INT8: return number(type_identity<std::int8_t>{}, parquet::Int32Type{});
    case arrow::Type::INT16: return number(type_identity<std::int16_t>{}, parquet::Int32Type{});
    case arrow::Type::UINT8: return number(type_identity<std::uint8_t>{}, parquet::Int32Type{});
    case arrow::Type::UINT16: return number(type_identity<std::uint16_t>{}, parquet::Int32Type{});
    case arrow::Type::UINT32:
      if (in_64_bits) return number(type_identity<std::uint32_t>{}, parquet::Int64Type{});
      return number(type_identity<std::uint32_t>{}, parquet::Int32Type{});
    case arrow::Type::INT32:
    case arrow::Type::DATE32:
    case arrow::Type::TIME32: return number(type_identity<std::int32_t>{}, parquet::Int32Type{});
    case arrow::Type::UINT64: return number(type_identity<std::uint64_t>{}, parquet::Int64Type{});
    case arrow::Type::INT64:
    case arrow::Type::TIME64:
    case arrow::Type::TIMESTAMP: return number(type_identity<std::int64_t>{}, parquet::Int64Type{});
    case arrow::Type::FLOAT: return number(type_identity<float>{}, parquet::FloatType{});
    case arrow::Type::DOUBLE: return number(type_identity<double>{}, parquet::DoubleType{});
    case arrow::Type::DECIMAL128: return make(type_identity<FixedPages<Decimal>>{});
    case arrow::Type::STRING:
    case arrow::Type::BINARY: return make(type_identity<TextPages>{});
    default: break;
  }
  throw base::Error(base::ErrorKind::kInternal, "an Arrow type without Parquet pages: " + type.ToString());
}

}  // namespace ferry::formats
