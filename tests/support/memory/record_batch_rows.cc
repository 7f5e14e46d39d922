#include "tests/support/memory/record_batch_rows.h"

#include <arrow/api.h>
#include <arrow/util/decimal.h>

#include <stdexcept>

namespace ferry::test_support {
namespace {

void check(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

template <typename Builder, typename Native>
void append_native_cell(arrow::ArrayBuilder& builder, const std::string& bytes) {
  check(static_cast<Builder&>(builder).Append(base::load_native<Native>(bytes.data())));
}

void append(arrow::ArrayBuilder& builder, const std::string& bytes) {
  switch (builder.type()->id()) {
    case arrow::Type::BOOL: return append_native_cell<arrow::BooleanBuilder, bool>(builder, bytes);
    case arrow::Type::INT8: return append_native_cell<arrow::Int8Builder, std::int8_t>(builder, bytes);
    case arrow::Type::INT16: return append_native_cell<arrow::Int16Builder, std::int16_t>(builder, bytes);
    case arrow::Type::INT32: return append_native_cell<arrow::Int32Builder, std::int32_t>(builder, bytes);
    case arrow::Type::INT64: return append_native_cell<arrow::Int64Builder, std::int64_t>(builder, bytes);
    case arrow::Type::UINT8: return append_native_cell<arrow::UInt8Builder, std::uint8_t>(builder, bytes);
    case arrow::Type::UINT16: return append_native_cell<arrow::UInt16Builder, std::uint16_t>(builder, bytes);
    case arrow::Type::UINT32: return append_native_cell<arrow::UInt32Builder, std::uint32_t>(builder, bytes);
    case arrow::Type::UINT64: return append_native_cell<arrow::UInt64Builder, std::uint64_t>(builder, bytes);
    case arrow::Type::FLOAT: return append_native_cell<arrow::FloatBuilder, float>(builder, bytes);
    case arrow::Type::DOUBLE: return append_native_cell<arrow::DoubleBuilder, double>(builder, bytes);
    case arrow::Type::DATE32: return append_native_cell<arrow::Date32Builder, std::int32_t>(builder, bytes);
    case arrow::Type::TIME64: return append_native_cell<arrow::Time64Builder, std::int64_t>(builder, bytes);
    case arrow::Type::TIMESTAMP:
      return append_native_cell<arrow::TimestampBuilder, std::int64_t>(builder, bytes);
    case arrow::Type::DECIMAL128:
      return check(static_cast<arrow::Decimal128Builder&>(builder).Append(std::string_view(bytes)));
    case arrow::Type::STRING: return check(static_cast<arrow::StringBuilder&>(builder).Append(bytes));
    case arrow::Type::BINARY: return check(static_cast<arrow::BinaryBuilder&>(builder).Append(bytes));
    default: throw std::runtime_error("no canonical Arrow type: " + builder.type()->ToString());
  }
}

std::string cell_bytes(const arrow::Array& array, std::int64_t row) {
  if (array.type_id() == arrow::Type::BOOL) {
    return std::string(1, static_cast<const arrow::BooleanArray&>(array).Value(row) ? '\1' : '\0');
  }
  if (const auto* binary = dynamic_cast<const arrow::BinaryArray*>(&array))
    return std::string(binary->GetView(row));
  const auto& fixed = static_cast<const arrow::PrimitiveArray&>(array);
  auto width = static_cast<std::size_t>(array.type()->byte_width());
  const auto* values = reinterpret_cast<const char*>(fixed.values()->data());
  return std::string(values + width * static_cast<std::size_t>(array.offset() + row), width);
}

}  // namespace

model::RecordBatch record_batch_of(const model::TableVersionPtr& table, std::span<const Row> rows) {
  model::RecordBatch batch;
  batch.table = table;
  arrow::ArrayVector arrays;
  for (std::size_t column = 0; column < table->columns.size(); ++column) {
    std::unique_ptr<arrow::ArrayBuilder> builder;
    check(arrow::MakeBuilder(arrow::default_memory_pool(), model::arrow_type(table->columns[column].type),
                             &builder));
    for (const Row& row : rows) {
      const Value& value = row[column];
      if (value.state == model::CellState::kValue) {
        append(*builder, value.bytes);
      } else {
        check(builder->AppendNull());
      }
    }
    std::shared_ptr<arrow::Array> array;
    check(builder->Finish(&array));
    arrays.push_back(std::move(array));
  }
  for (std::size_t row = 0; row < rows.size(); ++row) {
    batch.bytes += bytes_of(rows[row]);
    for (std::uint32_t column = 0; column < rows[row].size(); ++column) {
      const Value& value = rows[row][column];
      if (value.state != model::CellState::kOutOfDomain) continue;
      batch.out_of_domain.push_back({static_cast<std::int64_t>(row), column, value.bytes});
    }
  }
  batch.rows =
      arrow::RecordBatch::Make(model::arrow_schema(*table), static_cast<std::int64_t>(rows.size()), arrays);
  return batch;
}

std::vector<Row> rows_of(const model::RecordBatch& batch) {
  std::vector<Row> rows(static_cast<std::size_t>(batch.rows->num_rows()),
                        Row(static_cast<std::size_t>(batch.rows->num_columns())));
  for (int column = 0; column < batch.rows->num_columns(); ++column) {
    const arrow::Array& array = *batch.rows->column(column);
    for (std::int64_t row = 0; row < array.length(); ++row) {
      if (array.IsNull(row)) continue;
      rows[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)] =
          text_value(cell_bytes(array, row));
    }
  }
  for (const model::OutOfDomain& foreign : batch.out_of_domain) {
    rows[static_cast<std::size_t>(foreign.row)][foreign.column] = out_of_domain(foreign.text);
  }
  return rows;
}

}  // namespace ferry::test_support
