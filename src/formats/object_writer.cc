#include "formats/object_writer.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "formats/array_view.h"
#include "formats/text_form.h"

namespace ferry::formats {
namespace {

constexpr std::size_t kKeyValueBytesMax = 64;

// Not in the middle of a UTF-8 character.
void append_shortened(std::string& out, std::string_view text) {
  if (text.size() <= kKeyValueBytesMax) {
    out.append(text);
    return;
  }
  std::size_t size = kKeyValueBytesMax;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) --size;
  out.append(text.substr(0, size)).append("…");
}

// `value` appends the text of the column with that index.
template <typename Value>
std::string join_key(const model::TableVersion& table, Value&& value) {
  std::string key;
  std::string text;
  for (std::uint32_t column : table.key) {
    if (!key.empty()) key += ", ";
    key.append(table.columns[column].name).append("=");
    text.clear();
    value(column, text);
    append_shortened(key, text);
  }
  return key;
}

}  // namespace

std::string row_key_text(const model::RecordBatch& batch, std::int64_t row) {
  if (batch.table->key.empty()) return fmt::format("row {} of its batch", row);
  return join_key(*batch.table, [&](std::uint32_t column, std::string& text) {
    ArrayView view = view_of(*batch.rows->column(static_cast<int>(column)));
    if (view.is_null(row)) {
      auto found = std::ranges::find_if(batch.out_of_domain, [&](const model::OutOfDomain& value) {
        return value.row == row && value.column == column;
      });
      text = found == batch.out_of_domain.end() ? "NULL" : found->text;
      return;
    }
    with_text_form(batch.table->columns[column].type, [&](auto form) {
      auto value = view.value<typename decltype(form)::Native>(row);
      text.resize(form.text_max(value));
      text.resize(static_cast<std::size_t>(form.put(text.data(), value) - text.data()));
    });
  });
}

std::string row_key_text(const model::TableVersion& table, std::span<const model::Cell> cells) {
  if (table.key.empty()) return "a row without a key";
  return join_key(table, [&](std::uint32_t column, std::string& text) {
    const model::Cell& cell = cells[column];
    switch (cell.state) {
      case model::CellState::kNull: text = "NULL"; return;
      case model::CellState::kNotSent: text = "(not sent)"; return;
      case model::CellState::kOutOfDomain: text = cell.bytes; return;
      case model::CellState::kValue: append_cell_text(text, table.columns[column].type, cell.bytes); return;
    }
  });
}

std::string timestamp_text(base::UnixMicros time) {
  std::array<char, kDatetimeTextMax> text;
  return {text.data(), put_datetime(text.data(), time, 6)};
}

void require_canonical(const model::RecordBatch& batch, const model::TableVersion& table) {
  const arrow::RecordBatch& rows = *batch.rows;
  bool canonical = rows.num_columns() == static_cast<int>(table.columns.size());
  for (int i = 0; canonical && i < rows.num_columns(); ++i) {
    canonical =
        rows.column(i)->type()->Equals(*model::arrow_type(table.columns[static_cast<std::size_t>(i)].type));
  }
  if (canonical) return;
  throw base::Error(
      base::ErrorKind::kInternal,
      fmt::format("Rows of the table {} do not have the columns of its version", to_string(table.name)));
}

void require_free_names(const ObjectShape& shape, bool names_are_written) {
  for (const model::Column& column : shape.table->columns) {
    bool is_op = shape.op_column && names_are_written && column.name == kOpColumn;
    if (!is_op && (shape.timestamp_column.empty() || column.name != shape.timestamp_column)) continue;
    throw base::Error(
        base::ErrorKind::kTargetTable,
        base::Error::Parts{
            .message =
                fmt::format("the table {} has a column '{}' of its own, the name of the column for the {}",
                            to_string(shape.table->name), column.name,
                            is_op ? "operation" : "timestamp (TimestampColumnName)"),
            .remedy = is_op ? "Rename the column on the source, or write CSV without AddColumnName."
                            : "Give TimestampColumnName another name."});
  }
}

}  // namespace ferry::formats
