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

}  // namespace ferry::formats
