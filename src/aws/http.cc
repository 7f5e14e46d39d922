#include "aws/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace ferry::aws {
namespace {

constexpr std::string_view kAwsDomain = ".amazonaws.com";
constexpr std::string_view kAwsChinaDomain = ".amazonaws.com.cn";
constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

base::Error bad_url(std::string_view what) {
  return base::Error(
      base::ErrorKind::kDocumentInvalid,
      {.message = fmt::format("the service's URL {}", what),
       .remedy = "Write it as http://host:port or https://host:port, with a path where it has one."});
}

}  // namespace

std::string HostAddress::authority() const {
  std::string name = host.find(':') == std::string::npos ? host : '[' + host + ']';
  if (port == 0 || port == (tls ? kHttpsPort : kHttpPort)) return name;
  return fmt::format("{}:{}", name, port);
}

std::string HostAddress::url() const { return (tls ? "https://" : "http://") + authority(); }

ServiceUrl parse_service_url(std::string_view url) {
  ServiceUrl parsed;
  if (url.starts_with("https://")) {
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    parsed.address.tls = false;
    url.remove_prefix(7);
  } else {
    throw bad_url("does not begin with http:// or https://");
  }
  if (url.find_first_of("@?# \t\r\n") != std::string_view::npos) {
    throw bad_url("has a user, a query, a fragment or a blank in it");
  }
  std::size_t slash = std::min(url.find('/'), url.size());
  std::string_view authority = url.substr(0, slash);
  parsed.path = url.substr(slash);
  while (parsed.path.ends_with('/')) parsed.path.pop_back();

  std::size_t colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) throw bad_url("has '[' without ']'");
    parsed.address.host = authority.substr(1, bracket - 1);
    colon = bracket + 1 < authority.size() ? bracket + 1 : std::string_view::npos;
    if (colon != std::string_view::npos && authority[colon] != ':') throw bad_url("has no port behind ']'");
  } else {
    parsed.address.host = authority.substr(0, colon);
  }
  if (parsed.address.host.empty()) throw bad_url("names no host");
  if (colon == std::string_view::npos) return parsed;
  std::string_view port = authority.substr(colon + 1);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), parsed.address.port);
  if (error != std::errc() || end != port.data() + port.size() || parsed.address.port == 0) {
    throw bad_url("has a port that is no number from 1 to 65535");
  }
  return parsed;
}

std::string aws_host(std::string_view service, std::string_view region) {
  return fmt::format("{}.{}{}", service, region, region.starts_with("cn-") ? kAwsChinaDomain : kAwsDomain);
}

bool is_aws_host(std::string_view host) {
  return host.ends_with(kAwsDomain) || host.ends_with(kAwsChinaDomain);
}

std::string percent_encoded(std::string_view text, Slash slash) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (char c : text) {
    if (is_unreserved(c) || (c == '/' && slash == Slash::kKeep)) {
      encoded += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kHex[byte >> 4U];
    encoded += kHex[byte & 15U];
  }
  return encoded;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool whole = text[i] == '%' && i + 2 < text.size();
    int high = whole ? hex_value(text[i + 1]) : -1;
    int low = whole ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      // Form encoding, which S3 uses in listings.
      decoded += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

std::string canonical_query(const HttpRequest& request) {
  NameValues encoded;
  for (const auto& [name, value] : request.query) {
    encoded.emplace_back(percent_encoded(name, Slash::kEncode), percent_encoded(value, Slash::kEncode));
  }
  std::ranges::sort(encoded);
  std::string query;
  for (const auto& [name, value] : encoded) {
    if (!query.empty()) query += '&';
    query.append(name).append("=").append(value);
  }
  return query;
}

std::string encoded_path(const HttpRequest& request) { return percent_encoded(request.path, Slash::kKeep); }

std::string_view HttpResponse::header(std::string_view lower_case_name) const {
  auto found = headers.find(lower_case_name);
  return found == headers.end() ? std::string_view() : found->second;
}

}  // namespace ferry::aws
