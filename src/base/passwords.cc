#include "base/passwords.h"

#include <fmt/format.h>

namespace ferry::base {
namespace {

constexpr std::string_view kAuthorityBegin = "://";

// Digits up to what no password has unencoded.
bool starts_with_port(std::string_view text) {
  std::size_t end = text.find_first_not_of("0123456789");
  return end != 0 && end != std::string_view::npos && (text[end] == '/' || text[end] == '?');
}

}  // namespace

std::string hide_password(std::string_view text) {
  std::size_t at_sign = text.rfind('@');
  if (at_sign == std::string_view::npos) return std::string(text);
  for (std::size_t scheme = text.find(kAuthorityBegin); scheme < at_sign;
       scheme = text.find(kAuthorityBegin, scheme + 1)) {
    std::size_t colon = text.find_first_of(":/?@", scheme + kAuthorityBegin.size());
    if (text[colon] != ':' || starts_with_port(text.substr(colon + 1))) continue;
    return fmt::format("{}:***{}", text.substr(0, colon), text.substr(at_sign));
  }
  return std::string(text);
}

}  // namespace ferry::base
