#include "formats/csv/csv_writer.h"

#include <arrow/record_batch.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "formats/byte_buffer.h"
#include "formats/csv/csv_column.h"
#include "formats/csv/csv_quoting.h"
#include "formats/csv/gzip_sink.h"
#include "formats/load_rows.h"
#include "formats/out_of_domain.h"
#include "formats/text_form.h"

namespace ferry::formats {
namespace {

// What is gathered before the sink is called.
constexpr std::size_t kBufferBytes = 256 * 1024;
// What the buffer may hold on to for the rows to come.
constexpr std::size_t kHeldBytesMax = 8 * kBufferBytes;

constexpr std::string_view kCutWarning = "Digits of the second beyond the column's scale were cut.";
constexpr std::string_view kNullValueWarning = "The value is the text that CsvNullValue gives to NULL.";

// What the rows of an object go into.
class CsvObject {
 public:
  CsvObject(ByteSink& sink, bool gzip) : sink_(&sink), buffer_(kBufferBytes + kBufferBytes / 4) {
    if (!gzip) return;
    gzip_ = std::make_unique<GzipSink>(sink);
    sink_ = gzip_.get();
  }

  ByteBuffer& buffer() { return buffer_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t bytes() const { return bytes_; }
  std::int64_t memory_bytes() const {
    return static_cast<std::int64_t>(buffer_.capacity() + (gzip_ ? gzip_->memory_bytes() : 0));
  }

  // The row of so many bytes at the buffer's end stays.
  void take_row(std::size_t size) {
    ++rows_;
    bytes_ += static_cast<std::int64_t>(size);
    if (buffer_.size() >= kBufferBytes) flush();
  }

  void finish() {
    flush();
    if (gzip_) gzip_->finish();
  }

 private:
  void flush() {
    if (buffer_.size() > 0) sink_->write(buffer_.text());
    buffer_.shrink_to(0);
    // One huge row does not keep its memory.
    if (buffer_.capacity() > kHeldBytesMax) buffer_ = ByteBuffer(kBufferBytes);
  }

  std::unique_ptr<GzipSink> gzip_;
  ByteSink* sink_;
  ByteBuffer buffer_;
  std::int64_t rows_ = 0;
  std::int64_t bytes_ = 0;
};

// Whether rows say which table they are of.
enum class TableNames : std::uint8_t { kLeftOut, kInRows };

// The rows of one table in an object, which may have rows of others too.
class TableRows {
 public:
  using Rows = ObjectWriter::Rows;

  TableRows(CsvObject& object, ObjectShape shape, CsvOptions options, TableNames names)
      : object_(object),
        buffer_(object.buffer()),
        shape_(std::move(shape)),
        options_(std::move(options)),
        names_(names),
        quoting_(options_.rfc4180, options_.column_delimiter, options_.row_delimiter) {
    require_free_names(shape_, options_.header);
    for (const model::Column& column : shape_.table->columns) {
      columns_.push_back(make_csv_column(column.type, quoting_));
    }
  }

  std::int64_t write_rows(const Rows& rows, model::RowErrorSink& errors);
  bool write_change(const ChangeRow& row, model::RowErrorSink& errors);

 private:
  // Why the row under construction cannot be written, or in which way it differs from the source's.
  struct Remark {
    std::size_t column;
    std::string_view text;
  };

  void start_row(char op, std::string_view timestamp);
  // The values of a row; false when one is refused, which refusal_ then describes.
  bool append_row(std::int64_t row);
  bool append_row(std::int64_t row, std::span<const model::OutOfDomain> values);
  bool append_change(const ChangeRow& row);
  bool append_out_of_domain(std::size_t column, std::string_view text);
  void append_value(std::size_t column, std::int64_t row);
  void append_not_sent(std::size_t column, char op);
  // False when the row would take the object over `bytes_max`; then it is forgotten.
  bool take_row(std::int64_t bytes_max, model::RowErrorSink& errors);
  void refuse_row(std::string key, model::RowErrorSink& errors);
  void forget_row();

  void append_header();
  void append_delimiter() {
    if (options_.column_delimiter.size() == 1) {
      buffer_.append(options_.column_delimiter.front());
    } else {
      buffer_.append(options_.column_delimiter);
    }
  }
  void start_field() {
    if (fields_++ > 0) append_delimiter();
  }
  // Appends a value and notes what a reader cannot know of it.
  template <typename Append>
  void note(std::size_t column, Append append) {
    std::size_t start = buffer_.size();
    CsvColumn::Appended appended = append();
    // Where NULL is an empty field, which is DMS's default, an empty text is one by DMS's own rule.
    const std::string& null = options_.null_value;
    if (!null.empty() && buffer_.size() - start == null.size() && buffer_.text_from(start) == null)
      warnings_.push_back({column, kNullValueWarning});
    if (appended == CsvColumn::Appended::kCut) warnings_.push_back({column, kCutWarning});
    if (appended == CsvColumn::Appended::kWithoutOffset) warnings_.push_back({column, kOffsetWarning});
  }
  CsvObject& object_;
  ByteBuffer& buffer_;  // The object's.
  const ObjectShape shape_;
  const CsvOptions options_;
  const TableNames names_;
  const CsvQuoting quoting_;
  std::vector<std::unique_ptr<CsvColumn>> columns_;

  // The row under construction.
  std::size_t row_start_ = 0;
  std::size_t fields_ = 0;
  Remark refusal_{};
  std::vector<Remark> warnings_;  // Told once the row is taken.
};

std::int64_t TableRows::write_rows(const Rows& rows, model::RowErrorSink& errors) {
  require_canonical(rows.batch, *shape_.table);
  const arrow::RecordBatch& values = *rows.batch.rows;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    columns_[i]->bind(*values.column(static_cast<int>(i)), rows.first);
  }
  RowTimestamps timestamps(shape_, rows);
  OutOfDomainRows odd_rows(rows.batch, rows.first);

  for (std::int64_t row = rows.first; row < values.num_rows(); ++row) {
    start_row(kLoadOp, timestamps.next());
    bool whole = odd_rows.at(row) ? append_row(row, odd_rows.take()) : append_row(row);
    if (!whole) {
      refuse_row(row_key_text(rows.batch, row), errors);
      continue;
    }
    if (!take_row(rows.bytes_max, errors)) return row;
  }
  return values.num_rows();
}

bool TableRows::write_change(const ChangeRow& row, model::RowErrorSink& errors) {
  assert(row.cells.size() == columns_.size());
  std::array<char, kDatetimeTextMax> timestamp;
  start_row(row.op, {timestamp.data(), put_datetime(timestamp.data(), row.commit_time, 6)});
  if (!append_change(row)) {
    refuse_row(row_key_text(*shape_.table, row.cells), errors);
    return false;
  }
  return take_row(ObjectWriter::kNoLimit, errors);
}

void TableRows::start_row(char op, std::string_view timestamp) {
  row_start_ = buffer_.size();
  if (object_.rows() == 0 && options_.header) append_header();
  fields_ = 0;
  if (shape_.op_column) {
    start_field();
    quoting_.append_field(buffer_, {&op, 1});
  }
  if (names_ == TableNames::kInRows) {
    for (const std::string* name : {&shape_.table->name.table, &shape_.table->name.schema}) {
      start_field();
      quoting_.append_field(buffer_, *name);
    }
  }
  if (!shape_.timestamp_column.empty()) {
    start_field();
    quoting_.append_field(buffer_, timestamp);
  }
}

bool TableRows::append_row(std::int64_t row) {
  for (std::size_t i = 0; i < columns_.size(); ++i) append_value(i, row);
  return true;
}

bool TableRows::append_row(std::int64_t row, std::span<const model::OutOfDomain> values) {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (values.empty() || values.front().column != i) {
      append_value(i, row);
      continue;
    }
    if (!append_out_of_domain(i, values.front().text)) return false;
    values = values.subspan(1);
  }
  return true;
}

bool TableRows::append_change(const ChangeRow& row) {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const model::Cell& cell = row.cells[i];
    switch (cell.state) {
      case model::CellState::kValue:
        start_field();
        note(i, [&] { return columns_[i]->append_cell(buffer_, cell.bytes); });
        break;
      case model::CellState::kNull:
        start_field();
        buffer_.append(options_.null_value);
        break;
      case model::CellState::kNotSent: append_not_sent(i, row.op); break;
      case model::CellState::kOutOfDomain:
        if (!append_out_of_domain(i, cell.bytes)) return false;
        break;
    }
  }
  return true;
}

void TableRows::append_value(std::size_t column, std::int64_t row) {
  start_field();
  const CsvColumn& encoder = *columns_[column];
  if (encoder.is_null(row)) {
    buffer_.append(options_.null_value);
  } else {
    note(column, [&] { return encoder.append_row(buffer_, row); });
  }
}

bool TableRows::append_out_of_domain(std::size_t column, std::string_view text) {
  const model::LogicalType& type = shape_.table->columns[column].type;
  Ruling ruling = rule_out_of_domain(Format::kCsv, type, text);
  if (ruling.action == Ruling::Action::kRefuse) {
    refusal_ = {column, ruling.reason};
    return false;
  }
  assert(ruling.action == Ruling::Action::kText);
  start_field();
  quoting_.append_field(buffer_, ruling.text);
  if (!ruling.warning.empty()) warnings_.push_back({column, ruling.warning});
  if (type.without_offset) warnings_.push_back({column, kOffsetWarning});
  return true;
}

// A D row has what the log has of the old row, and everyone expects no more of it.
void TableRows::append_not_sent(std::size_t column, char op) {
  start_field();
  if (options_.no_sup_value) {
    buffer_.append(*options_.no_sup_value);
    return;
  }
  buffer_.append(options_.null_value);
  if (op != 'D') warnings_.push_back({column, kNotSentWarning});
}

bool TableRows::take_row(std::int64_t bytes_max, model::RowErrorSink& errors) {
  buffer_.append(options_.row_delimiter);
  std::size_t size = buffer_.size() - row_start_;
  if (object_.rows() > 0 && static_cast<std::int64_t>(size) > bytes_max - object_.bytes()) {
    forget_row();
    return false;
  }
  for (const Remark& warning : warnings_) {
    errors.data_warning({.table = shape_.table->name,
                         .column = shape_.table->columns[warning.column].name,
                         .what = std::string(warning.text)});
  }
  warnings_.clear();
  object_.take_row(size);
  return true;
}

void TableRows::refuse_row(std::string key, model::RowErrorSink& errors) {
  forget_row();
  errors.row_error({.table = shape_.table->name,
                    .key = std::move(key),
                    .column = shape_.table->columns[refusal_.column].name,
                    .reason = std::string(refusal_.text)});
}

void TableRows::forget_row() {
  buffer_.shrink_to(row_start_);
  warnings_.clear();
}

void TableRows::append_header() {
  fields_ = 0;
  const auto append_name = [&](std::string_view name) {
    start_field();
    quoting_.append_field(buffer_, name);
  };
  if (shape_.op_column) append_name(kOpColumn);
  if (!shape_.timestamp_column.empty()) append_name(shape_.timestamp_column);
  for (const model::Column& column : shape_.table->columns) append_name(column.name);
  buffer_.append(options_.row_delimiter);
}

class CsvWriter final : public ObjectWriter {
 public:
  CsvWriter(ByteSink& sink, ObjectShape shape, CsvOptions options)
      : object_(sink, options.gzip),
        table_(object_, std::move(shape), std::move(options), TableNames::kLeftOut) {}

  std::int64_t write_rows(const Rows& rows, model::RowErrorSink& errors) override {
    return table_.write_rows(rows, errors);
  }
  bool write_change(const ChangeRow& row, model::RowErrorSink& errors) override {
    return table_.write_change(row, errors);
  }
  std::int64_t rows() const override { return object_.rows(); }
  std::int64_t bytes() const override { return object_.bytes(); }
  std::int64_t memory_bytes() const override { return object_.memory_bytes(); }
  void finish() override { object_.finish(); }

 private:
  CsvObject object_;
  TableRows table_;
};

class CsvTransactionsWriter final : public TransactionsWriter {
 public:
  CsvTransactionsWriter(ByteSink& sink, std::string timestamp_column, CsvOptions options)
      : object_(sink, options.gzip),
        timestamp_column_(std::move(timestamp_column)),
        options_(std::move(options)) {}

  bool write_change(const model::TableVersionPtr& table, const ChangeRow& row,
                    model::RowErrorSink& errors) override {
    std::unique_ptr<TableRows>& rows = tables_[table];
    if (!rows) {
      ObjectShape shape{.table = table, .op_column = true, .timestamp_column = timestamp_column_};
      rows = std::make_unique<TableRows>(object_, std::move(shape), options_, TableNames::kInRows);
    }
    return rows->write_change(row, errors);
  }
  std::int64_t rows() const override { return object_.rows(); }
  std::int64_t bytes() const override { return object_.bytes(); }
  void finish() override { object_.finish(); }

 private:
  CsvObject object_;
  const std::string timestamp_column_;
  const CsvOptions options_;
  std::unordered_map<model::TableVersionPtr, std::unique_ptr<TableRows>> tables_;
};

void require_delimiters(const CsvOptions& options) {
  if (!options.column_delimiter.empty() && !options.row_delimiter.empty()) return;
  throw base::Error(base::ErrorKind::kDocumentInvalid,
                    base::Error::Parts{.message = "CsvDelimiter and CsvRowDelimiter must not be empty",
                                       .remedy = "Leave the setting out for the default."});
}

}  // namespace

std::unique_ptr<ObjectWriter> make_csv_writer(ByteSink& sink, ObjectShape shape, CsvOptions options) {
  require_delimiters(options);
  return std::make_unique<CsvWriter>(sink, std::move(shape), std::move(options));
}

std::unique_ptr<TransactionsWriter> make_csv_transactions_writer(ByteSink& sink, std::string timestamp_column,
                                                                 CsvOptions options) {
  require_delimiters(options);
  options.header = false;
  return std::make_unique<CsvTransactionsWriter>(sink, std::move(timestamp_column), std::move(options));
}

}  // namespace ferry::formats
