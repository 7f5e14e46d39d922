#pragma once

#include <array>
#include <string_view>

#include "formats/byte_buffer.h"

namespace ferry::formats {

// DMS's minimal quoting: a field stands in quotes when it holds a quote, LF, CR or a delimiter, and then its
// quotes are doubled. Of a delimiter of several bytes the first is reason enough, so that no field can end in
// half a delimiter.
class CsvQuoting {
 public:
  // With rfc4180 off nothing is ever quoted.
  CsvQuoting(bool rfc4180, std::string_view column_delimiter, std::string_view row_delimiter);

  bool needs_quotes(std::string_view text) const;
  // Whether numbers, dates and the like can need quotes: a delimiter begins with a character of theirs.
  bool concerns_numbers() const { return concerns_numbers_; }

  void append_field(ByteBuffer& out, std::string_view text) const;
  static void append_quoted(ByteBuffer& out, std::string_view text);
  // Quotes what stands in `out` from `start` on, where it needs to be.
  void quote_from(ByteBuffer& out, std::size_t start) const;

 private:
  bool rfc4180_;
  bool concerns_numbers_ = false;
  std::array<char, 5> specials_;  // Some may be equal.
  std::array<bool, 256> is_special_{};
};

}  // namespace ferry::formats
