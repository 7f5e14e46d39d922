#include "aws/signature.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace ferry::aws {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kTerminator = "aws4_request";
constexpr base::UnixMicros kMicrosPerSecond = 1'000'000;

using Digest = std::array<unsigned char, 32>;

std::string hex(const Digest& digest) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : digest) {
    text += kHex[byte >> 4U];
    text += kHex[byte & 15U];
  }
  return text;
}

Digest hmac(std::string_view key, std::string_view text) {
  Digest digest{};
  unsigned size = digest.size();
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  if (::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, text.size(), digest.data(),
             &size) == nullptr) {
    throw base::Error(base::ErrorKind::kInternal, "HMAC-SHA256 is not to be had");
  }
  return digest;
}

Digest hmac(const Digest& key, std::string_view text) {
  return hmac(std::string_view(reinterpret_cast<const char*>(key.data()), key.size()), text);
}

// Without blanks at the ends, runs of blanks as one.
std::string canonical_value(std::string_view value) {
  std::string text;
  for (char c : value) {
    bool superfluous = c == ' ' && (text.empty() || text.back() == ' ');
    if (!superfluous) text += c;
  }
  if (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::optional<base::UnixMicros> parse_time(const char* text, const char* format) {
  tm parts{};
  if (::strptime(text, format, &parts) == nullptr) return std::nullopt;
  return static_cast<base::UnixMicros>(::timegm(&parts)) * kMicrosPerSecond;
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Digest digest{};
  unsigned size = 0;
  if (::EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, ::EVP_sha256(), nullptr) != 1) {
    throw base::Error(base::ErrorKind::kInternal, "SHA-256 is not to be had");
  }
  return hex(digest);
}

std::string signing_time(base::UnixMicros time) {
  time_t seconds = time / kMicrosPerSecond;
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  return {text.data(), ::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts)};
}

std::optional<base::UnixMicros> parse_http_date(std::string_view text) {
  return parse_time(std::string(text).c_str(), "%a, %d %b %Y %H:%M:%S GMT");
}

std::optional<base::UnixMicros> parse_iso_time(const std::string& text) {
  return parse_time(text.c_str(), "%Y-%m-%dT%H:%M:%S");
}

void sign(HttpRequest& request, const Credentials& credentials, const SigningScope& scope,
          base::UnixMicros now) {
  std::string time = signing_time(now);
  std::string day = time.substr(0, 8);
  request.headers.emplace_back("x-amz-date", time);
  if (!credentials.session_token.empty()) {
    request.headers.emplace_back("x-amz-security-token", credentials.session_token.reveal());
  }

  NameValues headers = request.headers;
  headers.emplace_back("host", request.address.authority());
  std::ranges::sort(headers);
  std::string canonical_headers;
  std::string signed_headers;
  std::string body_digest;
  for (const auto& [name, value] : headers) {
    canonical_headers += name + ':' + canonical_value(value) + '\n';
    signed_headers += (signed_headers.empty() ? "" : ";") + name;
    if (name == "x-amz-content-sha256") body_digest = value;
  }
  if (body_digest.empty()) body_digest = sha256_hex(request.body);

  std::string canonical_request =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, encoded_path(request), canonical_query(request),
                  canonical_headers, signed_headers, body_digest);
  std::string place = fmt::format("{}/{}/{}/{}", day, scope.region, scope.service, kTerminator);
  std::string to_sign = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time, place, sha256_hex(canonical_request));
  base::Secret start("AWS4" + credentials.secret_access_key.reveal());
  Digest key = hmac(hmac(hmac(hmac(start.reveal(), day), scope.region), scope.service), kTerminator);
  request.headers.emplace_back(
      "authorization",
      fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                  credentials.access_key_id, place, signed_headers, hex(hmac(key, to_sign))));
}

}  // namespace ferry::aws
