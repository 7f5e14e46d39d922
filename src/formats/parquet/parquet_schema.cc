#include "formats/parquet/parquet_schema.h"

#include <parquet/properties.h>
#include <parquet/schema.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace ferry::formats {
namespace {

using model::LogicalType;
using model::TypeId;
using parquet::ConvertedType;
using parquet::Repetition;
using parquet::Type;
using parquet::schema::PrimitiveNode;

// TIME(0) to TIME(3) are whole milliseconds.
constexpr int kMillisecondScaleMax = 3;

// A dictionary pays while its values are at most this share of a row group's rows.
constexpr double kDictionaryShareMax = 0.2;
// The same where the table's rows are unknown, so that its share says less of one row group.
constexpr double kDictionaryShareMaxBlind = 0.01;

struct PhysicalForm {
  Type::type type;
  ConvertedType::type converted = ConvertedType::NONE;
  int length = -1;
  int precision = -1;
  int scale = -1;
};

// The fewest bytes that hold every unscaled value of `precision` digits in two's complement.
int decimal_bytes(int precision) {
  return static_cast<int>(std::ceil((precision * std::log2(10.0) + 1) / 8));
}

PhysicalForm numeric_form(const LogicalType& type) {
  if (!is_parquet_decimal(type)) return {Type::BYTE_ARRAY, ConvertedType::UTF8};
  return {Type::FIXED_LEN_BYTE_ARRAY, ConvertedType::DECIMAL, decimal_bytes(type.precision), type.precision,
          type.scale};
}

PhysicalForm physical_form(const LogicalType& type, const ParquetOptions& options) {
  switch (type.id) {
    case TypeId::kBoolean: return {Type::BOOLEAN};
    case TypeId::kInt1: return {Type::INT32, ConvertedType::INT_8};
    case TypeId::kInt2: return {Type::INT32, ConvertedType::INT_16};
    case TypeId::kInt4: return {Type::INT32};
    case TypeId::kInt8: return {Type::INT64};
    case TypeId::kUint1: return {Type::INT32, ConvertedType::UINT_8};
    case TypeId::kUint2: return {Type::INT32, ConvertedType::UINT_16};
    case TypeId::kUint4:
      if (options.version == ParquetOptions::Version::k1_0) return {Type::INT64};
      return {Type::INT32, ConvertedType::UINT_32};
    case TypeId::kUint8: return {Type::INT64, ConvertedType::UINT_64};
    case TypeId::kReal4: return {Type::FLOAT};
    case TypeId::kReal8: return {Type::DOUBLE};
    case TypeId::kNumeric: return numeric_form(type);
    case TypeId::kString:
    case TypeId::kWstring:
    case TypeId::kClob:
    case TypeId::kNclob: return {Type::BYTE_ARRAY, ConvertedType::UTF8};
    case TypeId::kBytes:
    case TypeId::kBlob: return {Type::BYTE_ARRAY};
    case TypeId::kDate: return {Type::INT32, ConvertedType::DATE};
    case TypeId::kTime:
      if (in_milliseconds(type, options)) return {Type::INT32, ConvertedType::TIME_MILLIS};
      return {Type::INT64, ConvertedType::TIME_MICROS};
    case TypeId::kDatetime:
      if (in_milliseconds(type, options)) return {Type::INT64, ConvertedType::TIMESTAMP_MILLIS};
      return {Type::INT64, ConvertedType::TIMESTAMP_MICROS};
  }
  throw base::Error(base::ErrorKind::kInternal, "a logical type without a Parquet form");
}

parquet::schema::NodePtr required_text(const std::string& name) {
  return PrimitiveNode::Make(name, Repetition::REQUIRED, Type::BYTE_ARRAY, ConvertedType::UTF8);
}

parquet::Compression::type codec_of(ParquetOptions::Codec codec) {
  switch (codec) {
    case ParquetOptions::Codec::kNone: return parquet::Compression::UNCOMPRESSED;
    case ParquetOptions::Codec::kSnappy: return parquet::Compression::SNAPPY;
    case ParquetOptions::Codec::kGzip: return parquet::Compression::GZIP;
    case ParquetOptions::Codec::kZstd: return parquet::Compression::ZSTD;
  }
  throw base::Error(base::ErrorKind::kInternal, "an unknown Parquet codec");
}

}  // namespace

bool is_parquet_decimal(const LogicalType& type) {
  return type.id == TypeId::kNumeric && type.precision > 0 && type.scale >= 0 && type.scale <= type.precision;
}

bool in_milliseconds(const LogicalType& type, const ParquetOptions& options) {
  if (type.id == TypeId::kTime)
    return options.timestamp_in_milliseconds || type.scale <= kMillisecondScaleMax;
  return type.id == TypeId::kDatetime && options.timestamp_in_milliseconds;
}

std::shared_ptr<parquet::schema::GroupNode> parquet_schema(const ObjectShape& shape,
                                                           const ParquetOptions& options) {
  parquet::schema::NodeVector nodes;
  if (shape.op_column) nodes.push_back(required_text(std::string(kOpColumn)));
  if (!shape.timestamp_column.empty()) nodes.push_back(required_text(shape.timestamp_column));
  for (const model::Column& column : shape.table->columns) {
    PhysicalForm form = physical_form(column.type, options);
    nodes.push_back(PrimitiveNode::Make(column.name, Repetition::OPTIONAL, form.type, form.converted,
                                        form.length, form.precision, form.scale));
  }
  return std::static_pointer_cast<parquet::schema::GroupNode>(
      parquet::schema::GroupNode::Make("schema", Repetition::REQUIRED, nodes));
}

bool few_distinct_values(const model::Column& column, const ParquetOptions& options) {
  if (column.distinct_share < 0) return false;
  if (options.rows_estimate <= 0) return column.distinct_share <= kDictionaryShareMaxBlind;
  // How many of `distinct` values, all as frequent, turn up in a row group drawn at random.
  auto table_rows = static_cast<double>(options.rows_estimate);
  double group_rows = std::min(static_cast<double>(options.row_group_length), table_rows);
  double distinct = std::max(column.distinct_share * table_rows, 1.0);
  double expected = distinct * -std::expm1(-group_rows / distinct);
  return expected <= kDictionaryShareMax * group_rows;
}

std::shared_ptr<parquet::WriterProperties> parquet_properties(const ObjectShape& shape,
                                                              const ParquetOptions& options,
                                                              arrow::MemoryPool* pool) {
  parquet::WriterProperties::Builder builder;
  bool version_1 = options.version == ParquetOptions::Version::k1_0;
  builder.memory_pool(pool)
      ->created_by(std::string(kParquetCreatedBy))
      ->version(version_1 ? parquet::ParquetVersion::PARQUET_1_0 : parquet::ParquetVersion::PARQUET_2_6)
      ->data_page_version(parquet::ParquetDataPageVersion::V1)
      ->compression(codec_of(options.codec))
      ->dictionary_pagesize_limit(options.dict_page_size_limit)
      ->data_pagesize(options.data_page_size)
      ->max_row_group_length(options.row_group_length)
      // DMS's files have neither.
      ->disable_write_page_index()
      ->set_size_statistics_level(parquet::SizeStatisticsLevel::None);
  if (!options.statistics) builder.disable_statistics();
  if (options.encoding == ParquetOptions::Encoding::kPlain) {
    builder.disable_dictionary();
  } else if (options.dictionary_by_statistics) {
    for (const model::Column& column : shape.table->columns) {
      if (!few_distinct_values(column, options)) builder.disable_dictionary(column.name);
    }
    if (!shape.timestamp_column.empty()) builder.disable_dictionary(shape.timestamp_column);
  }
  return builder.build();
}

}  // namespace ferry::formats
