#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

// The least and the greatest of a column's values, for the statistics of pages and column chunks
// (parquet.thrift, "Statistics" and "ColumnOrder").
namespace ferry::formats {

// Values whose natural order is the column's.
template <typename Native>
class ValueBounds {
 public:
  void add(const Native* values, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      Native value = values[i];
      if constexpr (std::is_floating_point_v<Native>) {
        if (std::isnan(value)) continue;
      }
      if (!known_) {
        least_ = greatest_ = value;
        known_ = true;
        continue;
      }
      least_ = value < least_ ? value : least_;
      greatest_ = greatest_ < value ? value : greatest_;
    }
  }
  void merge(const ValueBounds& other) {
    if (!other.known_) return;
    add(&other.least_, 1);
    add(&other.greatest_, 1);
  }
  bool known() const { return known_; }
  Native least() const { return zero_as(least_, -0.0); }
  Native greatest() const { return zero_as(greatest_, 0.0); }

 private:
  // Readers cannot know which zero a column has, so the least is −0 and the greatest +0.
  static Native zero_as(Native value, double zero) {
    if constexpr (std::is_floating_point_v<Native>) return value == 0 ? static_cast<Native>(zero) : value;
    return value;
  }

  Native least_{};
  Native greatest_{};
  bool known_ = false;
};

// Texts and bytes, by their bytes. Of a long one only the front is kept: bounds longer than kSizeMax are not
// written, and whether one is longer its front tells.
class TextBounds {
 public:
  static constexpr std::size_t kSizeMax = 4096;

  void add(std::string_view value) {
    value = value.substr(0, kSizeMax + 1);
    if (!known_) {
      least_ = greatest_ = value;
      known_ = true;
      return;
    }
    if (value < least_) least_ = value;
    if (greatest_ < value) greatest_ = value;
  }
  void merge(const TextBounds& other) {
    if (!other.known_) return;
    add(other.least_);
    add(other.greatest_);
  }
  // Nothing where there is none, or it is too long.
  std::optional<std::string> least() const { return bound(least_); }
  std::optional<std::string> greatest() const { return bound(greatest_); }

 private:
  std::optional<std::string> bound(const std::string& value) const {
    return known_ && value.size() <= kSizeMax ? std::optional(value) : std::nullopt;
  }

  std::string least_;
  std::string greatest_;
  bool known_ = false;
};

}  // namespace ferry::formats
