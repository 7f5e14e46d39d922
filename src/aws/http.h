#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry::aws {

// Where a service is.
struct HostAddress {
  bool tls = true;
  std::string host;        // Without brackets.
  std::uint16_t port = 0;  // 0 = the scheme's default.

  // "host:port" as the Host header has it: without the scheme's default port.
  std::string authority() const;
  // "https://host:port"
  std::string url() const;

  friend bool operator==(const HostAddress&, const HostAddress&) = default;
};

// "http://host:port/path". `path` begins with '/', or is empty.
struct ServiceUrl {
  HostAddress address;
  std::string path;
};
// Throws Error(kDocumentInvalid) for what is no http or https URL, or has user, query or fragment.
ServiceUrl parse_service_url(std::string_view url);

// The host of a service of AWS, "sts.eu-west-1.amazonaws.com"; Chinese regions have a domain of their own.
std::string aws_host(std::string_view service, std::string_view region);
bool is_aws_host(std::string_view host);

// Every byte but A-Z a-z 0-9 - . _ ~ as %XX, as AWS wants it; '/' stays where `keep_slash` says so.
enum class Slash : std::uint8_t { kEncode, kKeep };
std::string percent_encoded(std::string_view text, Slash slash);
// The inverse; a bad escape stays as it is.
std::string percent_decoded(std::string_view text);

using NameValues = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  HostAddress address;
  std::string path = "/";  // Not encoded.
  NameValues query = {};   // Not encoded.
  // Names in lower case. Host, Content-Length and Connection are the transport's own.
  NameValues headers = {};
  std::string_view body = {};  // Lives as long as the request.
};

// The query as it is sent and signed: encoded, sorted.
std::string canonical_query(const HttpRequest& request);
// The path as it is sent and signed.
std::string encoded_path(const HttpRequest& request);

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string, std::less<>> headers = {};  // Names in lower case.
  std::string body = {};

  // "" where there is none.
  std::string_view header(std::string_view lower_case_name) const;
};

// An answer's largest body. 1000 keys of a listing, each of 1024 bytes that are all escaped, fit.
inline constexpr std::size_t kResponseBytesMax = 8 << 20;

// What sends requests. Thread-safe.
class Http {
 public:
  virtual ~Http() = default;

  // Any answer is returned, whatever its status; redirects are not followed. Throws Error(kTargetUnreachable)
  // when there was no whole answer, also when the request may have had its effect, Error(kTargetTls) when the
  // peer's certificate is refused or it does not speak TLS, and Error(kTargetAuthentication) for a header
  // with a line break, which can only come from credentials. A transfer in which nothing moves for a while is
  // given up, earlier after a stop request, and a while after a stop request also one that moves.
  virtual HttpResponse send(const HttpRequest& request, std::stop_token stop) = 0;
};

struct HttpOptions {
  std::string certificate_authorities = {};  // PEM, all that are trusted; empty = the system's.
  std::chrono::milliseconds connect_timeout{10000};
  bool use_proxy = true;  // What http_proxy and https_proxy name.
  std::chrono::milliseconds stall_max{60000};
  std::chrono::milliseconds after_stop_max{30000};
};

// Over libcurl; connections are kept and used again.
std::unique_ptr<Http> make_http(const HttpOptions& options);

}  // namespace ferry::aws
