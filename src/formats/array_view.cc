#include "formats/array_view.h"

#include <arrow/array.h>

namespace ferry::formats {

ArrayView view_of(const arrow::Array& array) {
  const auto& buffers = array.data()->buffers;
  const auto address = [&](std::size_t i) {
    return i < buffers.size() && buffers[i] != nullptr ? buffers[i]->data() : nullptr;
  };
  bool variable = buffers.size() == 3;
  return {.validity = array.null_count() > 0 ? address(0) : nullptr,
          .values = reinterpret_cast<const char*>(address(variable ? 2 : 1)),
          .offsets = variable ? reinterpret_cast<const std::int32_t*>(address(1)) : nullptr,
          .start = array.offset()};
}

}  // namespace ferry::formats
