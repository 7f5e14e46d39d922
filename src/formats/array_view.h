#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/bytes.h"

namespace arrow {
class Array;
}

namespace ferry::formats {

// The buffers of an Arrow array of a canonical type (model/logical_type.h): a bitmap of BOOLEANs, values of
// one size, or offsets and bytes. Rows are counted from the array's first. Valid as long as the array is.
struct ArrayView {
  const std::uint8_t* validity = nullptr;  // Null when no row is.
  const char* values = nullptr;
  const std::int32_t* offsets = nullptr;  // Null for types of one size.
  std::int64_t start = 0;                 // Where the array's first row lies in its buffers.

  bool is_null(std::int64_t row) const {
    if (validity == nullptr) return false;
    auto bit = static_cast<std::uint64_t>(start + row);
    return ((validity[bit >> 3U] >> (bit & 7U)) & 1U) == 0;
  }

  // What an array of strings or bytes holds for `count` rows from `first` on, one after another.
  std::string_view bytes_of_rows(std::int64_t first, std::int64_t count) const {
    std::int32_t begin = offsets[start + first];
    return {values + begin, static_cast<std::size_t>(offsets[start + first + count] - begin)};
  }

  // The value of a row that is not null, as Native has it in an Arrow array.
  template <typename Native>
  Native value(std::int64_t row) const {
    if constexpr (std::is_same_v<Native, std::string_view>) {
      return bytes_of_rows(row, 1);
    } else if constexpr (std::is_same_v<Native, bool>) {
      auto bit = static_cast<std::uint64_t>(start + row);
      return ((static_cast<std::uint8_t>(values[bit >> 3U]) >> (bit & 7U)) & 1U) != 0;
    } else {
      return base::load_native<Native>(values + (start + row) * static_cast<std::int64_t>(sizeof(Native)));
    }
  }
};

ArrayView view_of(const arrow::Array& array);

}  // namespace ferry::formats
