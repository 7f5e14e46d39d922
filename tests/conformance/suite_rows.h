#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/change_batch.h"
#include "model/record_batch.h"
#include "model/row_error.h"

namespace ferry::conformance {

// Every table of the suite has these two columns: id, a 32-bit integer that is never null, and name, a text
// that may be. Some get more text columns later; those are null in rows the suite writes.
struct SuiteRow {
  std::int32_t id = 0;
  std::optional<std::string> name;

  friend auto operator<=>(const SuiteRow&, const SuiteRow&) = default;
};
void PrintTo(const SuiteRow& row,
             std::ostream* out);  // NOLINT(readability-identifier-naming): GoogleTest's name.

inline constexpr std::string_view kIdColumn = "id";
inline constexpr std::string_view kNameColumn = "name";

// A cell as text: a number's digits, a text, "NULL", "(not sent)".
std::string text_of(const model::LogicalType& type, const model::Cell& cell);

// The id and name of one image of a change; nothing when the image is absent or has no id.
std::optional<SuiteRow> suite_row(const model::TableVersion& table, std::span<const model::Cell> image);

// Rows of a batch of any table that has the two columns.
std::vector<SuiteRow> suite_rows(const model::RecordBatch& batch);
// Whether the batch's Arrow schema is the canonical one of its table version.
bool has_canonical_schema(const model::RecordBatch& batch);
// The rows of a table of exactly the suite's columns, then texts that are null.
model::RecordBatch batch_of(const model::TableVersionPtr& table, std::span<const SuiteRow> rows);

// The kind of the Error that `work` throws; nothing when it throws none.
std::optional<base::ErrorKind> error_of(const std::function<void()>& work);

// Keeps the row errors it hears.
class CollectingSink : public model::RowErrorSink {
 public:
  void row_error(const model::RowError& error) override { errors.push_back(error); }
  void data_warning(const model::DataWarning&) override {}

  std::vector<model::RowError> errors;
};

}  // namespace ferry::conformance
