#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/object_writer.h"
#include "formats/text_form.h"

// What the rows of a load bring beside their columns.
namespace ferry::formats {

// The timestamp column's text, row by row: one for all rows, or the clock's time as each is written.
class RowTimestamps {
 public:
  RowTimestamps(const ObjectShape& shape, const ObjectWriter::Rows& rows)
      : clock_(rows.timestamp || shape.timestamp_column.empty() ? nullptr : rows.clock) {
    assert(clock_ != nullptr || rows.timestamp || shape.timestamp_column.empty());
    if (rows.timestamp) print(*rows.timestamp);
  }

  // Valid until the next call.
  std::string_view next() {
    if (clock_ != nullptr) print(clock_->now());
    return {text_.data(), size_};
  }

 private:
  void print(base::UnixMicros time) {
    size_ = static_cast<std::size_t>(put_datetime(text_.data(), time, 6) - text_.data());
  }

  base::Clock* clock_;
  std::array<char, kDatetimeTextMax> text_;
  std::size_t size_ = 0;
};

// Walks a batch's out-of-domain values beside its rows, from one row on.
class OutOfDomainRows {
 public:
  OutOfDomainRows(const model::RecordBatch& batch, std::int64_t first) : values_(batch.out_of_domain) {
    skip(std::ranges::lower_bound(values_, first, {}, &model::OutOfDomain::row) - values_.begin());
  }

  bool at(std::int64_t row) const { return !values_.empty() && values_.front().row == row; }
  // The next row that has such values, or -1.
  std::int64_t next_row() const { return values_.empty() ? -1 : values_.front().row; }
  // The values of that row, by column.
  std::span<const model::OutOfDomain> take() {
    auto end = std::ranges::upper_bound(values_, values_.front().row, {}, &model::OutOfDomain::row);
    auto taken = values_.first(static_cast<std::size_t>(end - values_.begin()));
    skip(static_cast<std::ptrdiff_t>(taken.size()));
    return taken;
  }

 private:
  void skip(std::ptrdiff_t count) { values_ = values_.subspan(static_cast<std::size_t>(count)); }

  std::span<const model::OutOfDomain> values_;
};

}  // namespace ferry::formats
