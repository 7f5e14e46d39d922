#include "base/one_line.h"

#include <fmt/format.h>

namespace ferry::base {

std::string one_line(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '\n': line += "\\n"; break;
      case '\r': line += "\\r"; break;
      case '\t': line += "\\t"; break;
      default:
        if (byte < 0x20 || byte == 0x7f) {
          line += fmt::format("\\x{:02x}", byte);
        } else {
          line += c;
        }
    }
  }
  return line;
}

}  // namespace ferry::base
