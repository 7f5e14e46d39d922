#pragma once

#include <string.h>

#include <string>
#include <string_view>
#include <utility>

namespace ferry::base {

// A password or key. It has no printed form, and its bytes are overwritten when it is destroyed.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text) : text_(text) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : text_(other.text_) { other.wipe(); }
  Secret& operator=(const Secret& other) {
    if (this != &other) {
      wipe();
      text_ = other.text_;
    }
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe();
      text_ = other.text_;
      other.wipe();
    }
    return *this;
  }
  ~Secret() { wipe(); }

  bool empty() const { return text_.empty(); }
  // The one way to the text; callers hand it straight to a client library.
  const std::string& reveal() const { return text_; }

 private:
  void wipe() {
    ::explicit_bzero(text_.data(), text_.capacity());
    text_.clear();
  }

  std::string text_;
};

}  // namespace ferry::base
