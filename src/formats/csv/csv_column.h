#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "formats/array_view.h"
#include "formats/byte_buffer.h"
#include "formats/csv/csv_quoting.h"
#include "model/logical_type.h"

namespace ferry::formats {

// The encoder of one column, chosen by its type once per object. Values of a bound array and cells of changes
// go through the same form (text_form.h).
class CsvColumn {
 public:
  virtual ~CsvColumn() = default;

  // `array` is of the column's canonical type; rows from `first` on will be asked for.
  void bind(const arrow::Array& array, std::int64_t first);
  bool is_null(std::int64_t row) const { return view_.is_null(row); }

  // kCut: digits of the second were left out. kWithoutOffset: all but the offset from UTC was written.
  enum class Appended : std::uint8_t { kWhole, kCut, kWithoutOffset };
  // `row` is not null.
  virtual Appended append_row(ByteBuffer& out, std::int64_t row) const = 0;
  virtual Appended append_cell(ByteBuffer& out, std::string_view bytes) const = 0;

 protected:
  ArrayView view_;

 private:
  virtual void look_at_text(std::string_view) {}
};

// `quoting` outlives the column.
std::unique_ptr<CsvColumn> make_csv_column(const model::LogicalType& type, const CsvQuoting& quoting);

}  // namespace ferry::formats
