#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace ferry::formats {

// Text on its way to a sink. Unlike a std::string it lends out room that is not yet text, so that a form
// writes in place.
class TextBuffer {
 public:
  explicit TextBuffer(std::size_t capacity)
      : data_(std::make_unique_for_overwrite<char[]>(capacity)), capacity_(capacity) {}

  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  std::string_view text() const { return {data_.get(), size_}; }
  std::string_view text_from(std::size_t start) const { return text().substr(start); }

  // Room for `bytes` behind the text; grow_to() takes the end of what was written there.
  char* room(std::size_t bytes) {
    if (capacity_ - size_ < bytes) enlarge(bytes);
    return data_.get() + size_;
  }
  void grow_to(const char* end) { size_ = static_cast<std::size_t>(end - data_.get()); }
  void shrink_to(std::size_t size) { size_ = size; }

  void append(std::string_view text) {
    char* at = room(text.size());
    std::memcpy(at, text.data(), text.size());
    size_ += text.size();
  }
  void append(char c) {
    *room(1) = c;
    ++size_;
  }

 private:
  void enlarge(std::size_t bytes) {
    std::size_t capacity = std::max(2 * capacity_, size_ + bytes);
    auto data = std::make_unique_for_overwrite<char[]>(capacity);
    std::memcpy(data.get(), data_.get(), size_);
    data_ = std::move(data);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
  std::size_t capacity_;
};

}  // namespace ferry::formats
