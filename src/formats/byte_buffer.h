#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

namespace ferry::formats {

// Bytes on their way to a sink. Unlike a std::string it lends out room that is not yet text, so that a form
// writes in place; and growing a large one moves pages instead of copying bytes, so that one huge value is in
// memory once.
class ByteBuffer {
 public:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  using Memory = std::unique_ptr<char, Free>;

  explicit ByteBuffer(std::size_t capacity) { resize_to(capacity); }

  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  char* data() { return data_.get(); }
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
    text.copy(at, text.size());
    size_ += text.size();
  }
  void append(char c) {
    *room(1) = c;
    ++size_;
  }

  // The memory, for others to own; the buffer is empty then and holds none.
  Memory release() {
    size_ = capacity_ = 0;
    return std::exchange(data_, nullptr);
  }
  // Gives back what is not used.
  void shrink_to_fit() {
    if (size_ < capacity_) resize_to(size_);
  }

 private:
  // Beyond this a buffer grows by what is needed and a little, not to twice its size.
  static constexpr std::size_t kDoublingMax = std::size_t{16} << 20;

  void enlarge(std::size_t bytes) {
    resize_to(std::max(capacity_ + std::min(capacity_, kDoublingMax), size_ + bytes));
  }

  void resize_to(std::size_t capacity) {
    auto* data = static_cast<char*>(std::realloc(data_.get(), std::max<std::size_t>(capacity, 1)));
    if (data == nullptr) throw std::bad_alloc();
    (void)data_.release();  // realloc() has taken it.
    data_.reset(data);
    capacity_ = capacity;
  }

  Memory data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace ferry::formats
