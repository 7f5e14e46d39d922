#include "formats/parquet/parquet_writer.h"

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/builder.h>
#include <arrow/record_batch.h>

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

#include "formats/load_rows.h"
#include "formats/out_of_domain.h"
#include "formats/parquet/arrow_status.h"
#include "formats/parquet/parquet_column.h"
#include "formats/parquet/row_groups.h"

namespace ferry::formats {
namespace {

// Rows encoded at a time: a column's values stay in the processor's cache, and sizes are looked at in
// between.
constexpr std::int64_t kRowsPerStep = 4'096;
// Changes gathered before they are encoded.
constexpr std::int64_t kHeldChangesMax = 4'096;
constexpr std::int64_t kHeldBytesMax = 1'048'576;

// A cell from this size on is encoded from where it lies, and with it the row.
constexpr std::size_t kHugeCellBytes = std::size_t{4} << 20;

// What a held cell costs beside its bytes.
constexpr std::int64_t kCellOverhead = 6;

constexpr std::string_view kCutWarning = "Digits of the second beyond milliseconds were cut.";

using Arrays = std::vector<std::shared_ptr<arrow::Array>>;

// Rows in canonical form, all of one length.
struct Rowset {
  std::shared_ptr<arrow::Array> ops = nullptr;         // Null without an Op column.
  std::shared_ptr<arrow::Array> timestamps = nullptr;  // Null without a timestamp column.
  Arrays columns = {};
  std::int64_t rows = 0;
};

// What a load's out-of-domain values come to; rows are the Rowset's.
struct Rulings {
  struct Refused {
    std::int64_t row;
    std::size_t column;
    std::string_view reason;
  };
  struct Replaced {
    std::int64_t row;
    std::size_t column;
    std::string_view warning;
  };
  std::vector<Refused> refused = {};          // By row.
  std::vector<Replaced> replaced = {};        // By row; none of a refused row.
  std::vector<std::vector<MicrosAt>> micros;  // For each column the values put in, by row.
};

// A cell that is not copied into its column.
struct HugeCell {
  std::size_t column;
  std::string_view bytes;
};

bool is_huge(const model::Cell& cell) {
  return cell.state == model::CellState::kValue && cell.bytes.size() >= kHugeCellBytes;
}

// An array of one row that points to where the cell lies.
std::shared_ptr<arrow::Array> array_of(const HugeCell& cell, const std::shared_ptr<arrow::DataType>& type) {
  auto offsets = value_of(arrow::AllocateBuffer(2 * sizeof(std::int32_t)));
  offsets->mutable_data_as<std::int32_t>()[0] = 0;
  offsets->mutable_data_as<std::int32_t>()[1] = static_cast<std::int32_t>(cell.bytes.size());
  auto bytes = std::make_shared<arrow::Buffer>(cell.bytes);
  return arrow::MakeArray(
      arrow::ArrayData::Make(type, 1, {nullptr, std::move(offsets), std::move(bytes)}, 0));
}

class ParquetWriter final : public ObjectWriter {
 public:
  ParquetWriter(ByteSink& sink, ObjectShape shape, const ParquetOptions& options)
      : pool_(model::memory_pool()),
        shape_(std::move(shape)),
        options_(options),
        groups_(sink, shape_, options, pool_),
        sizes_(shape_.table->columns.size()),
        held_ops_(pool_),
        held_timestamps_(pool_) {
    for (const model::Column& column : shape_.table->columns) {
      columns_.push_back(make_parquet_column(column.type, options, pool_));
    }
  }

  std::int64_t write_rows(const Rows& rows, model::RowErrorSink& errors) override;
  bool write_change(const ChangeRow& row, model::RowErrorSink& errors) override;

  std::int64_t rows() const override { return rows_ + held_rows_; }
  std::int64_t bytes() const override { return groups_.written_bytes() + memory_bytes(); }
  std::int64_t memory_bytes() const override { return groups_.group_bytes() + held_bytes_; }

  void finish() override {
    encode_held();
    groups_.finish();
  }

 private:
  Rowset rowset_of(const Rows& rows) const;
  Rulings rule(const Rows& rows) const;
  void bind(const Rowset& rowset);
  std::int64_t rows_that_fit(std::int64_t first, std::int64_t end, std::int64_t bytes_max);
  std::int64_t rows_within(std::int64_t first, std::int64_t count, std::int64_t bytes) const;
  // `errors` hears of values that lose digits; null where it already has.
  void encode(const Rowset& rowset, std::int64_t first, std::int64_t count, model::RowErrorSink* errors);
  void warn_of_replaced(const Rulings& rulings, std::int64_t first, std::int64_t end,
                        model::RowErrorSink& errors) const;
  void warn(std::size_t column, std::string_view what, model::RowErrorSink& errors) const;
  void refuse(std::size_t column, std::string_view reason, std::string key,
              model::RowErrorSink& errors) const;
  void append_cells(const ChangeRow& row, model::RowErrorSink& errors);
  void encode_held() { encode_held({}); }
  // `huge` are cells of the last held row; their columns hold NULL in their place.
  void encode_held(std::span<const HugeCell> huge);

  arrow::MemoryPool* pool_;
  const ObjectShape shape_;
  const ParquetOptions options_;
  RowGroups groups_;
  std::vector<std::unique_ptr<ParquetColumn>> columns_;
  std::vector<PlainSize> sizes_;  // Of the rows being encoded.
  std::int64_t rows_ = 0;

  // Changes not yet encoded; the columns hold their cells.
  arrow::StringBuilder held_ops_;
  arrow::StringBuilder held_timestamps_;
  std::int64_t held_rows_ = 0;
  std::int64_t held_bytes_ = 0;
};

std::int64_t ParquetWriter::write_rows(const Rows& rows, model::RowErrorSink& errors) {
  require_canonical(rows.batch, *shape_.table);
  encode_held();
  Rulings rulings = rule(rows);
  Rowset rowset = rowset_of(rows);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    rowset.columns[i] = with_micros(rowset.columns[i], rulings.micros[i], pool_);
  }
  bind(rowset);

  auto refused = rulings.refused.begin();
  std::int64_t row = 0;
  while (row < rowset.rows) {
    bool run_ends_refused = refused != rulings.refused.end();
    std::int64_t end = run_ends_refused ? refused->row : rowset.rows;
    while (row < end) {
      std::int64_t count = rows_that_fit(row, end, rows.bytes_max);
      if (count == 0) return rows.first + row;
      encode(rowset, row, count, &errors);
      warn_of_replaced(rulings, row, row + count, errors);
      row += count;
    }
    if (!run_ends_refused) break;
    refuse(refused->column, refused->reason, row_key_text(rows.batch, rows.first + row), errors);
    ++refused;
    ++row;
  }
  return rows.first + rowset.rows;
}

Rowset ParquetWriter::rowset_of(const Rows& rows) const {
  auto values = rows.batch.rows->Slice(rows.first);
  Rowset rowset{.columns = values->columns(), .rows = values->num_rows()};
  if (shape_.op_column) {
    arrow::StringBuilder ops(pool_);
    for (std::int64_t row = 0; row < rowset.rows; ++row) require_ok(ops.Append(&kLoadOp, 1));
    rowset.ops = value_of(ops.Finish());
  }
  if (!shape_.timestamp_column.empty()) {
    arrow::StringBuilder texts(pool_);
    RowTimestamps timestamps(shape_, rows);
    for (std::int64_t row = 0; row < rowset.rows; ++row) require_ok(texts.Append(timestamps.next()));
    rowset.timestamps = value_of(texts.Finish());
  }
  return rowset;
}

Rulings ParquetWriter::rule(const Rows& rows) const {
  Rulings rulings{.micros = std::vector<std::vector<MicrosAt>>(columns_.size())};
  OutOfDomainRows odd_rows(rows.batch, rows.first);
  while (odd_rows.next_row() >= 0) {
    std::int64_t row = odd_rows.next_row() - rows.first;
    auto values = odd_rows.take();
    const auto ruling_of = [&](const model::OutOfDomain& value) {
      return rule_out_of_domain(Format::kParquet, shape_.table->columns[value.column].type, value.text);
    };
    auto bad = std::ranges::find_if(
        values, [&](const auto& value) { return ruling_of(value).action == Ruling::Action::kRefuse; });
    if (bad != values.end()) {
      rulings.refused.push_back({row, bad->column, ruling_of(*bad).reason});
      continue;
    }
    for (const model::OutOfDomain& value : values) {
      Ruling ruling = ruling_of(value);
      assert(ruling.action == Ruling::Action::kMicros);
      rulings.micros[value.column].push_back({row, ruling.micros});
      rulings.replaced.push_back({row, value.column, ruling.warning});
    }
  }
  return rulings;
}

void ParquetWriter::bind(const Rowset& rowset) {
  for (std::size_t i = 0; i < sizes_.size(); ++i) sizes_[i].bind(*rowset.columns[i]);
}

// How many rows to encode next: at most a step, none that would take the object over `bytes_max`, and none
// that would take the row group over its bounds; 0 when the object ends here.
std::int64_t ParquetWriter::rows_that_fit(std::int64_t first, std::int64_t end, std::int64_t bytes_max) {
  std::int64_t count = rows_within(first, std::min(end - first, kRowsPerStep), bytes_max - bytes());
  if (count == 0) {
    if (rows_ > 0) return 0;
    count = 1;
  }
  if (groups_.group_rows() == options_.row_group_length) groups_.close_group();
  count = std::min(count, options_.row_group_length - groups_.group_rows());
  std::int64_t in_group = rows_within(first, count, options_.row_group_bytes_max - groups_.group_bytes());
  if (in_group > 0) return in_group;
  if (groups_.group_rows() > 0) {
    groups_.close_group();
    return rows_that_fit(first, end, bytes_max);
  }
  return 1;
}

// The most rows, up to `count`, whose size is at most `bytes`.
std::int64_t ParquetWriter::rows_within(std::int64_t first, std::int64_t count, std::int64_t bytes) const {
  const auto size_of = [&](std::int64_t rows) {
    std::int64_t size = 0;
    for (const PlainSize& column : sizes_) size += column.of_rows(first, rows);
    return size;
  };
  if (size_of(count) <= bytes) return count;
  std::int64_t fits = 0;
  while (count - fits > 1) {
    std::int64_t middle = fits + (count - fits) / 2;
    (size_of(middle) <= bytes ? fits : count) = middle;
  }
  return fits;
}

void ParquetWriter::encode(const Rowset& rowset, std::int64_t first, std::int64_t count,
                           model::RowErrorSink* errors) {
  Arrays physical;
  if (rowset.ops) physical.push_back(rowset.ops->Slice(first, count));
  if (rowset.timestamps) physical.push_back(rowset.timestamps->Slice(first, count));
  std::vector<std::int64_t> cut(columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    auto column = columns_[i]->physical(rowset.columns[i]->Slice(first, count));
    physical.push_back(std::move(column.values));
    cut[i] = column.cut;
  }
  groups_.append(physical);
  rows_ += count;
  // What a huge value became is not held while the next one is read.
  if (groups_.group_bytes() >= options_.row_group_bytes_max) groups_.close_group();
  if (errors == nullptr) return;
  for (std::size_t i = 0; i < cut.size(); ++i) {
    for (; cut[i] > 0; --cut[i]) warn(i, kCutWarning, *errors);
    if (!shape_.table->columns[i].type.without_offset) continue;
    auto values = rowset.columns[i]->Slice(first, count);
    for (std::int64_t n = values->length() - values->null_count(); n > 0; --n)
      warn(i, kOffsetWarning, *errors);
  }
}

void ParquetWriter::warn_of_replaced(const Rulings& rulings, std::int64_t first, std::int64_t end,
                                     model::RowErrorSink& errors) const {
  auto at = std::ranges::lower_bound(rulings.replaced, first, {}, &Rulings::Replaced::row);
  for (; at != rulings.replaced.end() && at->row < end; ++at) warn(at->column, at->warning, errors);
}

void ParquetWriter::warn(std::size_t column, std::string_view what, model::RowErrorSink& errors) const {
  errors.data_warning(
      {.table = shape_.table->name, .column = shape_.table->columns[column].name, .what = std::string(what)});
}

void ParquetWriter::refuse(std::size_t column, std::string_view reason, std::string key,
                           model::RowErrorSink& errors) const {
  errors.row_error({.table = shape_.table->name,
                    .key = std::move(key),
                    .column = shape_.table->columns[column].name,
                    .reason = std::string(reason)});
}

bool ParquetWriter::write_change(const ChangeRow& row, model::RowErrorSink& errors) {
  assert(row.cells.size() == columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (row.cells[i].state != model::CellState::kOutOfDomain) continue;
    Ruling ruling = rule_out_of_domain(Format::kParquet, shape_.table->columns[i].type, row.cells[i].bytes);
    if (ruling.action != Ruling::Action::kRefuse) continue;
    refuse(i, ruling.reason, row_key_text(*shape_.table, row.cells), errors);
    return false;
  }
  std::vector<HugeCell> huge;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (is_huge(row.cells[i])) huge.push_back({i, row.cells[i].bytes});
  }
  if (!huge.empty()) encode_held();
  if (shape_.op_column) require_ok(held_ops_.Append(&row.op, 1));
  if (!shape_.timestamp_column.empty()) require_ok(held_timestamps_.Append(timestamp_text(row.commit_time)));
  append_cells(row, errors);
  ++held_rows_;
  if (!huge.empty() || held_rows_ >= kHeldChangesMax || held_bytes_ >= kHeldBytesMax) encode_held(huge);
  return true;
}

void ParquetWriter::append_cells(const ChangeRow& row, model::RowErrorSink& errors) {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const model::Cell& cell = row.cells[i];
    const model::LogicalType& type = shape_.table->columns[i].type;
    switch (cell.state) {
      case model::CellState::kValue:
        if (is_huge(cell)) {
          columns_[i]->append_null();
        } else if (columns_[i]->append_cell(cell.bytes) == ParquetColumn::Appended::kCut) {
          warn(i, kCutWarning, errors);
        }
        if (type.without_offset) warn(i, kOffsetWarning, errors);
        break;
      case model::CellState::kNotSent:
        columns_[i]->append_null();
        if (row.op != 'D') warn(i, kNotSentWarning, errors);
        break;
      case model::CellState::kNull: columns_[i]->append_null(); break;
      case model::CellState::kOutOfDomain: {
        Ruling ruling = rule_out_of_domain(Format::kParquet, type, cell.bytes);
        assert(ruling.action == Ruling::Action::kMicros);
        std::string micros;
        base::append_native(micros, ruling.micros);
        columns_[i]->append_cell(micros);
        warn(i, ruling.warning, errors);
        break;
      }
    }
    held_bytes_ += kCellOverhead + static_cast<std::int64_t>(cell.bytes.size());
  }
}

void ParquetWriter::encode_held(std::span<const HugeCell> huge) {
  if (held_rows_ == 0) return;
  assert(huge.empty() || held_rows_ == 1);
  Rowset rowset{.rows = held_rows_};
  if (shape_.op_column) rowset.ops = value_of(held_ops_.Finish());
  if (!shape_.timestamp_column.empty()) rowset.timestamps = value_of(held_timestamps_.Finish());
  for (const auto& column : columns_) rowset.columns.push_back(column->take_cells());
  for (const HugeCell& cell : huge) {
    rowset.columns[cell.column] = array_of(cell, rowset.columns[cell.column]->type());
  }
  held_rows_ = 0;
  held_bytes_ = 0;
  bind(rowset);
  std::int64_t row = 0;
  while (row < rowset.rows) {
    std::int64_t count = rows_that_fit(row, rowset.rows, kNoLimit);
    encode(rowset, row, count, nullptr);
    row += count;
  }
}

}  // namespace

std::unique_ptr<ObjectWriter> make_parquet_writer(ByteSink& sink, ObjectShape shape, ParquetOptions options) {
  require_free_timestamp_name(shape);
  return std::make_unique<ParquetWriter>(sink, std::move(shape), options);
}

}  // namespace ferry::formats
