#include "formats/parquet/parquet_column.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/util/bitmap_ops.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "formats/parquet/arrow_status.h"
#include "formats/parquet/parquet_schema.h"
#include "formats/text_form.h"
#include "model/record_batch.h"

namespace ferry::formats {
namespace {

constexpr std::int64_t kMicrosPerMilli = 1'000;

struct Same {
  template <typename Native>
  bool cuts(Native) const {
    return false;
  }
  ParquetColumn::Physical operator()(const std::shared_ptr<arrow::Array>& canonical) const {
    return {canonical};
  }
};

// Whole milliseconds; cutting goes towards the past, before 1970 too.
template <typename Milli>
struct ToMilliseconds {
  std::shared_ptr<arrow::DataType> type;
  arrow::MemoryPool* pool;

  bool cuts(std::int64_t micros) const { return micros % kMicrosPerMilli != 0; }
  ParquetColumn::Physical operator()(const std::shared_ptr<arrow::Array>& canonical) const {
    std::int64_t rows = canonical->length();
    ArrayView view = view_of(*canonical);
    std::shared_ptr<arrow::Buffer> millis =
        value_of(arrow::AllocateBuffer(rows * static_cast<std::int64_t>(sizeof(Milli)), pool));
    auto* out = millis->mutable_data_as<Milli>();
    std::int64_t cut = 0;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (view.is_null(row)) {
        out[row] = 0;
        continue;
      }
      auto micros = view.value<std::int64_t>(row);
      bool rest_is_negative = micros % kMicrosPerMilli < 0;
      out[row] = static_cast<Milli>(micros / kMicrosPerMilli - (rest_is_negative ? 1 : 0));
      if (cuts(micros)) ++cut;
    }
    std::shared_ptr<arrow::Buffer> validity;
    if (canonical->null_count() > 0) {
      validity = value_of(
          arrow::internal::CopyBitmap(pool, canonical->null_bitmap_data(), canonical->offset(), rows));
    }
    return {arrow::MakeArray(arrow::ArrayData::Make(type, rows, {validity, millis}, canonical->null_count())),
            cut};
  }
};

// A NUMERIC that Parquet has no DECIMAL for.
struct ToText {
  DecimalForm form;
  arrow::MemoryPool* pool;

  bool cuts(Int128) const { return false; }
  ParquetColumn::Physical operator()(const std::shared_ptr<arrow::Array>& canonical) const {
    ArrayView view = view_of(*canonical);
    arrow::StringBuilder builder(pool);
    std::string text(decimal_text_max(form.scale), '\0');
    for (std::int64_t row = 0; row < canonical->length(); ++row) {
      if (view.is_null(row)) {
        require_ok(builder.AppendNull());
        continue;
      }
      const char* end = form.put(text.data(), view.value<Int128>(row));
      require_ok(builder.Append(text.data(), static_cast<std::int32_t>(end - text.data())));
    }
    return {value_of(builder.Finish())};
  }
};

void append_to(arrow::Decimal128Builder& builder, Int128 value) {
  require_ok(builder.Append(reinterpret_cast<const std::uint8_t*>(&value)));
}
template <typename Builder, typename Native>
void append_to(Builder& builder, Native value) {
  require_ok(builder.Append(value));
}

template <typename Builder, typename Native, typename Transform>
class TypedColumn final : public ParquetColumn {
 public:
  TypedColumn(const model::LogicalType& type, Transform transform, arrow::MemoryPool* pool)
      : builder_(model::arrow_type(type), pool), transform_(std::move(transform)) {}

  Physical physical(const std::shared_ptr<arrow::Array>& canonical) const override {
    return transform_(canonical);
  }

  void append_null() override { require_ok(builder_.AppendNull()); }
  Appended append_cell(std::string_view bytes) override {
    auto value = cell_value<Native>(bytes);
    append_to(builder_, value);
    return transform_.cuts(value) ? Appended::kCut : Appended::kWhole;
  }
  std::shared_ptr<arrow::Array> take_cells() override {
    std::shared_ptr<arrow::Array> cells;
    require_ok(builder_.Finish(&cells));
    return cells;
  }

 private:
  Builder builder_;
  Transform transform_;
};

template <typename Builder, typename Native, typename Transform = Same>
std::unique_ptr<ParquetColumn> make_typed(const model::LogicalType& type, arrow::MemoryPool* pool,
                                          Transform transform = {}) {
  return std::make_unique<TypedColumn<Builder, Native, Transform>>(type, std::move(transform), pool);
}

std::unique_ptr<ParquetColumn> make_numeric(const model::LogicalType& type, arrow::MemoryPool* pool) {
  if (type.is_unconstrained_numeric()) return make_typed<arrow::StringBuilder, std::string_view>(type, pool);
  if (is_parquet_decimal(type)) return make_typed<arrow::Decimal128Builder, Int128>(type, pool);
  return make_typed<arrow::Decimal128Builder, Int128>(type, pool, ToText{DecimalForm{type.scale}, pool});
}

}  // namespace

std::unique_ptr<ParquetColumn> make_parquet_column(const model::LogicalType& type,
                                                   const ParquetOptions& options, arrow::MemoryPool* pool) {
  using model::TypeId;
  switch (type.id) {
    case TypeId::kBoolean: return make_typed<arrow::BooleanBuilder, bool>(type, pool);
    case TypeId::kInt1: return make_typed<arrow::Int8Builder, std::int8_t>(type, pool);
    case TypeId::kInt2: return make_typed<arrow::Int16Builder, std::int16_t>(type, pool);
    case TypeId::kInt4: return make_typed<arrow::Int32Builder, std::int32_t>(type, pool);
    case TypeId::kInt8: return make_typed<arrow::Int64Builder, std::int64_t>(type, pool);
    case TypeId::kUint1: return make_typed<arrow::UInt8Builder, std::uint8_t>(type, pool);
    case TypeId::kUint2: return make_typed<arrow::UInt16Builder, std::uint16_t>(type, pool);
    case TypeId::kUint4: return make_typed<arrow::UInt32Builder, std::uint32_t>(type, pool);
    case TypeId::kUint8: return make_typed<arrow::UInt64Builder, std::uint64_t>(type, pool);
    case TypeId::kReal4: return make_typed<arrow::FloatBuilder, float>(type, pool);
    case TypeId::kReal8: return make_typed<arrow::DoubleBuilder, double>(type, pool);
    case TypeId::kNumeric: return make_numeric(type, pool);
    case TypeId::kString:
    case TypeId::kWstring:
    case TypeId::kClob:
    case TypeId::kNclob: return make_typed<arrow::StringBuilder, std::string_view>(type, pool);
    case TypeId::kBytes:
    case TypeId::kBlob: return make_typed<arrow::BinaryBuilder, std::string_view>(type, pool);
    case TypeId::kDate: return make_typed<arrow::Date32Builder, std::int32_t>(type, pool);
    case TypeId::kTime:
      if (!in_milliseconds(type, options)) return make_typed<arrow::Time64Builder, std::int64_t>(type, pool);
      return make_typed<arrow::Time64Builder, std::int64_t>(
          type, pool, ToMilliseconds<std::int32_t>{arrow::time32(arrow::TimeUnit::MILLI), pool});
    case TypeId::kDatetime:
      if (!in_milliseconds(type, options))
        return make_typed<arrow::TimestampBuilder, std::int64_t>(type, pool);
      return make_typed<arrow::TimestampBuilder, std::int64_t>(
          type, pool, ToMilliseconds<std::int64_t>{arrow::timestamp(arrow::TimeUnit::MILLI, "UTC"), pool});
  }
  throw base::Error(base::ErrorKind::kInternal, "a logical type without a Parquet column");
}

std::shared_ptr<arrow::Array> with_micros(const std::shared_ptr<arrow::Array>& array,
                                          std::span<const MicrosAt> micros, arrow::MemoryPool* pool) {
  if (micros.empty()) return array;
  std::int64_t rows = array->length();
  ArrayView view = view_of(*array);
  auto values = value_of(arrow::AllocateBuffer(rows * static_cast<std::int64_t>(sizeof(std::int64_t)), pool));
  auto* out = values->mutable_data_as<std::int64_t>();
  for (std::int64_t row = 0; row < rows; ++row)
    out[row] = view.is_null(row) ? 0 : view.value<std::int64_t>(row);
  auto validity =
      value_of(arrow::internal::CopyBitmap(pool, array->null_bitmap_data(), array->offset(), rows));
  for (const MicrosAt& value : micros) {
    out[value.row] = value.micros;
    arrow::bit_util::SetBit(validity->mutable_data(), value.row);
  }
  return arrow::MakeArray(
      arrow::ArrayData::Make(array->type(), rows, {std::move(validity), std::move(values)}));
}

void PlainSize::bind(const arrow::Array& array) {
  view_ = view_of(array);
  // PLAIN writes four bytes before each string, and a BOOLEAN in less than one.
  constexpr std::int64_t kLengthSize = 4;
  // A definition level and, with a dictionary, an index.
  constexpr std::int64_t kOverhead = 6;
  value_size_ =
      (view_.offsets != nullptr ? kLengthSize : std::max(array.type()->byte_width(), 1)) + kOverhead;
}

std::int64_t PlainSize::of_rows(std::int64_t first, std::int64_t count) const {
  std::int64_t size = value_size_ * count;
  if (view_.offsets != nullptr) size += static_cast<std::int64_t>(view_.bytes_of_rows(first, count).size());
  return size;
}

}  // namespace ferry::formats
