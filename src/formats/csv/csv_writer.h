#pragma once

#include <memory>
#include <optional>
#include <string>

#include "formats/object_writer.h"

namespace ferry::formats {

// DMS's CSV dialect; the names are its endpoint settings'.
struct CsvOptions {
  std::string column_delimiter = ",";  // CsvDelimiter, decoded; never empty.
  std::string row_delimiter = "\n";    // CsvRowDelimiter, decoded; never empty.
  std::string null_value = {};         // CsvNullValue; never quoted.
  // CsvNoSupValue, present only with UseCsvNoSupValue: stands for values that the log did not send.
  std::optional<std::string> no_sup_value = {};
  bool rfc4180 = true;
  bool header = false;  // AddColumnName.
  bool gzip = false;    // CompressionType.
};

// The header counts in bytes(); an object without a row has none and stays empty. `sink` outlives the writer.
std::unique_ptr<ObjectWriter> make_csv_writer(ByteSink& sink, ObjectShape shape, CsvOptions options);

// Writes the changes of many tables into one object in the order in which they come: DMS's
// PreserveTransactions. A row is Op, the table's name, its schema's, the timestamp where its column has a
// name, and the table's columns. Used by one thread.
class TransactionsWriter {
 public:
  virtual ~TransactionsWriter() = default;

  // False when the row was refused.
  virtual bool write_change(const model::TableVersionPtr& table, const ChangeRow& row,
                            model::RowErrorSink& errors) = 0;
  // Rows taken so far, and their uncompressed bytes.
  virtual std::int64_t rows() const = 0;
  virtual std::int64_t bytes() const = 0;
  // Writes what is left. Called once, last.
  virtual void finish() = 0;
};

// There is no header, whatever the options say. `sink` outlives the writer.
std::unique_ptr<TransactionsWriter> make_csv_transactions_writer(ByteSink& sink, std::string timestamp_column,
                                                                 CsvOptions options);

}  // namespace ferry::formats
