#include "engine/lob_rule.h"

#include <arrow/api.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "base/error.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;
using model::Cell;
using model::CellState;
using model::LogicalType;
using model::RecordBatch;
using model::TableVersion;
using model::TableVersionPtr;

constexpr std::int64_t kKilobyte = 1024;
// DMS holds NCLOBs in UTF-16 and counts LobMaxSize in bytes of that.
constexpr std::int64_t kNclobUnitBytes = 2;

std::optional<std::int64_t> limit_of(const model::TaskSettings& settings) {
  const model::TargetMetadata& lobs = settings.target_metadata;
  bool named =
      settings.named("TargetMetadata.LimitedSizeLobMode") || settings.named("TargetMetadata.LobMaxSize");
  // Full LOB mode wins over limited: its values are whole.
  if (!named || !lobs.limited_size_lob_mode || lobs.full_lob_mode || lobs.lob_max_size_kb == 0)
    return std::nullopt;
  return lobs.lob_max_size_kb * kKilobyte;
}

bool starts_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

// Bytes of the longest prefix of whole characters with at most `units` UTF-16 units.
std::size_t prefix_of_units(std::string_view text, std::int64_t units) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!starts_character(text[at])) continue;
    // Characters of four bytes take two units.
    units -= static_cast<unsigned char>(text[at]) >= 0xF0U ? 2 : 1;
    if (units < 0) return at;
  }
  return text.size();
}

std::size_t prefix_of_bytes(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text.size();
  while (bytes > 0 && !starts_character(text[bytes])) --bytes;
  return bytes;
}

std::size_t kept_bytes_of(const LogicalType& type, std::string_view value,
                          std::optional<std::int64_t> bytes_max) {
  if (!bytes_max || !type.is_lob()) return value.size();
  if (type.id == model::TypeId::kNclob) return prefix_of_units(value, *bytes_max / kNclobUnitBytes);
  if (type.id == model::TypeId::kClob) return prefix_of_bytes(value, static_cast<std::size_t>(*bytes_max));
  return std::min(value.size(), static_cast<std::size_t>(*bytes_max));
}

arrow::Status cut_column(const arrow::BinaryArray& values, const LogicalType& type, std::int64_t bytes_max,
                         arrow::BaseBinaryBuilder<arrow::BinaryType>& builder, std::int64_t& cut) {
  ARROW_RETURN_NOT_OK(builder.Reserve(values.length()));
  for (std::int64_t row = 0; row < values.length(); ++row) {
    if (values.IsNull(row)) {
      ARROW_RETURN_NOT_OK(builder.AppendNull());
      continue;
    }
    std::string_view value = values.GetView(row);
    std::size_t kept = kept_bytes_of(type, value, bytes_max);
    if (kept < value.size()) ++cut;
    ARROW_RETURN_NOT_OK(builder.Append(value.substr(0, kept)));
  }
  return arrow::Status::OK();
}

}  // namespace

LobRule::LobRule(const model::TaskSettings& settings, const mapping::TableMapping& mapping,
                 OnTruncation on_truncation)
    : task_{.leaves_out =
                settings.named("TargetMetadata.SupportLobs") && !settings.target_metadata.support_lobs,
            .bytes_max = limit_of(settings)},
      mapping_(mapping),
      on_truncation_(on_truncation) {}

LobRule::Limits LobRule::limits_of(const model::TableName& table) const {
  const mapping::TableLobSettings* own = mapping_.lob_settings(table);
  if (own == nullptr) return task_;
  Limits limits;
  if (own->size_max_kb) limits.bytes_max = *own->size_max_kb * kKilobyte;
  return limits;
}

std::size_t LobRule::kept_bytes(const model::TableName& table, const LogicalType& type,
                                std::string_view value) const {
  return kept_bytes_of(type, value, limits_of(table).bytes_max);
}

const LobRule::Table& LobRule::table_of(const TableVersionPtr& source) {
  auto [found, is_new] = tables_.try_emplace(source);
  Table& table = found->second;
  if (!is_new) return table;
  table.limits = limits_of(source->name);
  mapping::TargetTable transformed = mapping_.transformations().target_table(*source);
  auto target = std::make_shared<TableVersion>(*source);
  target->name = std::move(transformed.name);
  target->columns.clear();
  target->key.clear();
  constexpr auto kLeftOut = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> place(source->columns.size(), kLeftOut);
  for (mapping::TargetColumn& column : transformed.columns) {
    bool is_key = std::ranges::find(source->key, column.source) != source->key.end();
    bool is_lob = column.type.is_lob();
    if (table.limits.leaves_out && is_lob && !is_key) continue;
    place[column.source] = static_cast<std::uint32_t>(target->columns.size());
    // A key that is cut would name other rows.
    if (table.limits.bytes_max && is_lob && !is_key) table.cut.push_back(place[column.source]);
    table.columns.push_back(column.source);
    target->columns.push_back(source->columns[column.source]);
    target->columns.back().name = std::move(column.name);
  }
  for (std::uint32_t column : source->key) {
    if (place[column] != kLeftOut) target->key.push_back(place[column]);
  }
  table.target = *target == *source ? source : target;
  return table;
}

TableVersionPtr LobRule::target_version(const TableVersionPtr& source) { return table_of(source).target; }

void LobRule::report(const Table& table, std::uint32_t column, model::RowErrorSink& errors) const {
  const model::TableName& name = table.target->name;
  const std::string& column_name = table.target->columns[column].name;
  std::string what = fmt::format("The value of column '{}' in table '{}' was truncated to length {}",
                                 column_name, model::to_string(name), *table.limits.bytes_max);
  if (on_truncation_ == OnTruncation::kFail) {
    throw Error(ErrorKind::kDataError,
                {.message = what + ", and FailTasksOnLobTruncation is set",
                 .remedy = "Raise LobMaxSize, or the table's bulk-max-size, or leave the limit out."});
  }
  errors.data_warning({.table = name, .column = column_name, .what = std::move(what)});
}

RecordBatch LobRule::load_batch(RecordBatch batch, model::RowErrorSink& errors) {
  const Table& table = table_of(batch.table);
  if (table.target != batch.table) {
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (std::uint32_t column : table.columns) arrays.push_back(batch.rows->column(static_cast<int>(column)));
    batch.rows = arrow::RecordBatch::Make(model::arrow_schema(*table.target), batch.rows->num_rows(),
                                          std::move(arrays));
    std::vector<model::OutOfDomain> kept;
    for (model::OutOfDomain& value : batch.out_of_domain) {
      auto at = std::ranges::lower_bound(table.columns, value.column);
      if (at == table.columns.end() || *at != value.column) continue;
      value.column = static_cast<std::uint32_t>(at - table.columns.begin());
      kept.push_back(std::move(value));
    }
    batch.out_of_domain = std::move(kept);
    batch.table = table.target;
  }
  for (std::uint32_t column : table.cut) {
    const LogicalType& type = batch.table->columns[column].type;
    auto index = static_cast<int>(column);
    // Texts and bytes lie in memory alike; the type says which they are.
    const auto& values = static_cast<const arrow::BinaryArray&>(*batch.rows->column(index));
    std::int64_t cut = 0;
    std::unique_ptr<arrow::BinaryBuilder> builder =
        type.is_text() ? std::make_unique<arrow::StringBuilder>() : std::make_unique<arrow::BinaryBuilder>();
    arrow::Status status = cut_column(values, type, *table.limits.bytes_max, *builder, cut);
    if (cut == 0) continue;
    std::shared_ptr<arrow::Array> array;
    if (status.ok()) status = builder->Finish(&array);
    if (!status.ok()) throw Error(ErrorKind::kInternal, "LOB values cannot be cut: " + status.ToString());
    batch.rows = batch.rows->SetColumn(index, batch.rows->schema()->field(index), array).ValueOrDie();
    for (std::int64_t i = 0; i < cut; ++i) report(table, column, errors);
  }
  return batch;
}

std::span<const Cell> LobRule::image(const Table& table, std::span<const Cell> cells,
                                     std::vector<Cell>& storage, model::RowErrorSink& errors) const {
  if (cells.empty()) return cells;
  storage.clear();
  for (std::uint32_t column : table.columns) storage.push_back(cells[column]);
  for (std::uint32_t column : table.cut) {
    Cell& cell = storage[column];
    if (cell.state != CellState::kValue) continue;
    std::size_t kept = kept_bytes_of(table.target->columns[column].type, cell.bytes, table.limits.bytes_max);
    if (kept == cell.bytes.size()) continue;
    cell.bytes = cell.bytes.substr(0, kept);
    report(table, column, errors);
  }
  return storage;
}

void LobRule::apply(model::Change& change, model::RowErrorSink& errors) {
  bool has_rules = task_.leaves_out || task_.bytes_max || mapping_.has_lob_settings() ||
                   !mapping_.transformations().empty();
  if (change.table == nullptr || !has_rules) return;
  const Table& table = table_of(*change.table);
  bool changes_nothing = table.target == *change.table && table.cut.empty();
  if (changes_nothing) return;
  bool same_rows = table.cut.empty() && table.columns.size() == (*change.table)->columns.size();
  change.table = &table.target;
  if (same_rows) return;
  change.before = image(table, change.before, before_, errors);
  change.after = image(table, change.after, after_, errors);
}

}  // namespace ferry::engine
