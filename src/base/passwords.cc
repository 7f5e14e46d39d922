#include "base/passwords.h"

#include <fmt/format.h>

#include <algorithm>

namespace ferry::base {
namespace {

constexpr std::string_view kAuthorityBegin = "://";
constexpr std::string_view kParameter = "password=";
constexpr std::string_view kHidden = "***";

// Digits up to what no password has unencoded.
bool starts_with_port(std::string_view text) {
  std::size_t end = text.find_first_not_of("0123456789");
  return end != 0 && end != std::string_view::npos && (text[end] == '/' || text[end] == '?');
}

std::string hide_parameter(std::string text) {
  for (std::size_t at = text.find(kParameter); at != std::string::npos; at = text.find(kParameter, at)) {
    at += kParameter.size();
    text.replace(at, std::min(text.find_first_of("& ", at), text.size()) - at, kHidden);
  }
  return text;
}

std::string hide_in_authority(std::string_view text) {
  std::size_t at_sign = text.rfind('@');
  if (at_sign == std::string_view::npos) return std::string(text);
  for (std::size_t scheme = text.find(kAuthorityBegin); scheme < at_sign;
       scheme = text.find(kAuthorityBegin, scheme + 1)) {
    std::size_t colon = text.find_first_of(":/?@", scheme + kAuthorityBegin.size());
    if (text[colon] != ':' || starts_with_port(text.substr(colon + 1))) continue;
    return fmt::format("{}:{}{}", text.substr(0, colon), kHidden, text.substr(at_sign));
  }
  return std::string(text);
}

}  // namespace

std::string hide_password(std::string_view text) { return hide_parameter(hide_in_authority(text)); }

}  // namespace ferry::base
