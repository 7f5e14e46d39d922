#include "tests/conformance/suite_rows.h"

#include <arrow/api.h>

#include <ostream>
#include <stdexcept>

#include "base/bytes.h"

namespace ferry::conformance {
namespace {

void check(const arrow::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

}  // namespace

void PrintTo(const SuiteRow& row, std::ostream* out) {
  *out << '(' << row.id << ", " << row.name.value_or("NULL") << ')';
}

std::string text_of(const model::LogicalType& type, const model::Cell& cell) {
  switch (cell.state) {
    case model::CellState::kNull: return "NULL";
    case model::CellState::kNotSent: return "(not sent)";
    case model::CellState::kOutOfDomain: return std::string(cell.bytes);
    case model::CellState::kValue: break;
  }
  if (type.is_variable()) return std::string(cell.bytes);
  switch (cell.bytes.size()) {
    case 2: return std::to_string(base::load_native<std::int16_t>(cell.bytes.data()));
    case 4: return std::to_string(base::load_native<std::int32_t>(cell.bytes.data()));
    case 8: return std::to_string(base::load_native<std::int64_t>(cell.bytes.data()));
    default: return "(a cell of " + std::to_string(cell.bytes.size()) + " bytes)";
  }
}

std::optional<SuiteRow> suite_row(const model::TableVersion& table, std::span<const model::Cell> image) {
  std::optional<SuiteRow> row;
  for (std::size_t i = 0; i < image.size(); ++i) {
    if (table.columns[i].name != kIdColumn || image[i].state != model::CellState::kValue) continue;
    row = SuiteRow{std::stoi(text_of(table.columns[i].type, image[i])), std::nullopt};
  }
  for (std::size_t i = 0; row && i < image.size(); ++i) {
    bool has_name = table.columns[i].name == kNameColumn && image[i].state != model::CellState::kNull;
    if (has_name) row->name = text_of(table.columns[i].type, image[i]);
  }
  return row;
}

std::vector<SuiteRow> suite_rows(const model::RecordBatch& batch) {
  std::vector<SuiteRow> rows;
  auto ids = batch.rows->GetColumnByName(std::string(kIdColumn));
  auto names = batch.rows->GetColumnByName(std::string(kNameColumn));
  for (std::int64_t i = 0; i < batch.rows->num_rows(); ++i) {
    SuiteRow row{std::stoi((*ids->GetScalar(i))->ToString()), std::nullopt};
    if (!names->IsNull(i)) row.name = (*names->GetScalar(i))->ToString();
    rows.push_back(std::move(row));
  }
  return rows;
}

bool has_canonical_schema(const model::RecordBatch& batch) {
  return batch.rows->schema()->Equals(*model::arrow_schema(*batch.table));
}

model::RecordBatch batch_of(const model::TableVersionPtr& table, std::span<const SuiteRow> rows) {
  arrow::Int32Builder ids;
  arrow::StringBuilder names;
  model::RecordBatch batch{.table = table, .rows = nullptr, .out_of_domain = {}, .bytes = 0};
  for (const SuiteRow& row : rows) {
    check(ids.Append(row.id));
    check(row.name ? names.Append(*row.name) : names.AppendNull());
    batch.bytes += static_cast<std::int64_t>(sizeof row.id + row.name.value_or("").size());
  }
  auto count = static_cast<std::int64_t>(rows.size());
  arrow::ArrayVector columns{*ids.Finish(), *names.Finish()};
  while (columns.size() < table->columns.size())
    columns.push_back(*arrow::MakeArrayOfNull(arrow::utf8(), count));
  batch.rows = arrow::RecordBatch::Make(model::arrow_schema(*table), count, std::move(columns));
  return batch;
}

std::optional<base::ErrorKind> error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const base::Error& error) {
    return error.kind();
  }
  return std::nullopt;
}

}  // namespace ferry::conformance
