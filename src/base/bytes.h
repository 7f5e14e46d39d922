#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace ferry::base {

// The value of T stored in network byte order (big-endian) at `p`, which has sizeof(T) readable bytes.
template <std::integral T>
T load_big_endian(const char* p) {
  std::make_unsigned_t<T> value;
  std::memcpy(&value, p, sizeof value);
  if constexpr (sizeof(T) == 2) value = __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
  return static_cast<T>(value);
}

template <std::integral T>
void append_big_endian(std::string& out, T value) {
  auto bits = static_cast<std::make_unsigned_t<T>>(value);
  if constexpr (sizeof(T) == 2) bits = __builtin_bswap16(bits);
  if constexpr (sizeof(T) == 4) bits = __builtin_bswap32(bits);
  if constexpr (sizeof(T) == 8) bits = __builtin_bswap64(bits);
  out.append(reinterpret_cast<const char*>(&bits), sizeof bits);
}

// The native form: little-endian on every machine Ferry is built for.
static_assert(std::endian::native == std::endian::little);

template <typename T>
  requires std::is_trivially_copyable_v<T>
T load_native(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <typename T>
  requires std::is_trivially_copyable_v<T>
void append_native(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// A bounds-checked reader over foreign bytes in network byte order. Reading past the end sets `ok()` to false
// and yields zeros; a decoder checks once at the end of each message. Not for use by two threads.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return at_ == bytes_.size(); }
  std::size_t left() const { return bytes_.size() - at_; }

  template <std::integral T>
  T read() {
    if (left() < sizeof(T)) return fail<T>();
    T value = load_big_endian<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return value;
  }

  std::string_view read_bytes(std::size_t size) {
    if (left() < size) return fail<std::string_view>();
    auto found = bytes_.substr(at_, size);
    at_ += size;
    return found;
  }

  // Text up to and without its NUL.
  std::string_view read_c_string() {
    auto end = bytes_.find('\0', at_);
    if (end == std::string_view::npos) return fail<std::string_view>();
    auto found = bytes_.substr(at_, end - at_);
    at_ = end + 1;
    return found;
  }

 private:
  template <typename T>
  T fail() {
    ok_ = false;
    at_ = bytes_.size();
    return T{};
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace ferry::base
