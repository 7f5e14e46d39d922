#include "cli/source_uri.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "base/error.h"
#include "base/passwords.h"

namespace ferry::cli {
namespace {

using base::Error;
using base::ErrorKind;

// The form without a password: where one is shown, what stands there is hidden.
constexpr std::string_view kWriteIt =
    "Write it as postgresql://user@host:port/database, or with ':' and the password behind the user; "
    "characters such as '@', ':', '/' and '%' inside a part are written %40, %3A, %2F, %25.";

Error bad(std::string_view what, std::string_view remedy = kWriteIt) {
  return Error(ErrorKind::kUsage,
               {.message = fmt::format("the source URI {}", what), .remedy = std::string(remedy)});
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text, std::string_view part) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    bool whole = i + 2 < text.size();
    int high = whole ? hex_value(text[i + 1]) : -1;
    int low = whole ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0 || high + low == 0) throw bad(fmt::format("has a bad %-escape in its {}", part));
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

// The scheme's end and the last '@' before the path: between them stand user and password.
struct Authority {
  std::size_t begin = std::string_view::npos;
  std::size_t at_sign = std::string_view::npos;
  std::size_t end = std::string_view::npos;
};

Authority authority_of(std::string_view uri) {
  Authority found;
  std::size_t scheme = uri.find("://");
  if (scheme == std::string_view::npos) return found;
  found.begin = scheme + 3;
  found.end = std::min(uri.find_first_of("/?", found.begin), uri.size());
  std::size_t at_sign = uri.substr(0, found.end).rfind('@');
  if (at_sign != std::string_view::npos && at_sign >= found.begin) found.at_sign = at_sign;
  return found;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  in.peek();  // A directory can be opened and fails here.
  if (in.fail()) {
    throw bad(fmt::format("names in sslrootcert a file that cannot be read: {}", path),
              "Check the path and its rights; a relative one begins in the working directory.");
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void read_host(model::Endpoint& endpoint, std::string_view host_port) {
  std::size_t colon = host_port.rfind(':');
  std::string_view host = host_port;
  if (host_port.starts_with('[')) {
    std::size_t bracket = host_port.find(']');
    if (bracket == std::string_view::npos) throw bad("has '[' without ']'");
    host = host_port.substr(1, bracket - 1);
    colon = bracket + 1 < host_port.size() ? bracket + 1 : std::string_view::npos;
  } else if (colon != std::string_view::npos) {
    host = host_port.substr(0, colon);
  }
  endpoint.server_name = percent_decoded(host, "host");
  if (host.find(',') != std::string_view::npos) throw bad("names several hosts; give one");
  endpoint.port = 5432;
  if (colon == std::string_view::npos) return;
  std::string_view port = host_port.substr(colon + 1);
  if (port.empty()) return;
  unsigned value = 0;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (error != std::errc() || end != port.data() + port.size() || value == 0 || value > 65535) {
    throw bad("has a port that is no number from 1 to 65535");
  }
  endpoint.port = static_cast<std::uint16_t>(value);
}

void read_parameter(model::Endpoint& endpoint, std::string_view parameter) {
  std::size_t equals = parameter.find('=');
  std::string name = percent_decoded(parameter.substr(0, equals), "parameters");
  std::string value = equals == std::string_view::npos
                          ? std::string()
                          : percent_decoded(parameter.substr(equals + 1), "parameters");
  if (name == "sslmode") {
    if (value != "disable" && value != "require" && value != "verify-ca" && value != "verify-full") {
      throw bad(fmt::format("has the sslmode '{}'", value),
                "Choose disable, require, verify-ca or verify-full.");
    }
    endpoint.ssl_mode = value == "disable" ? "none" : value;
  } else if (name == "sslrootcert") {
    endpoint.certificate_pem = read_file(value);
  } else {
    throw bad(fmt::format("has the unknown parameter '{}'", name),
              "Leave it out; sslmode and sslrootcert are known.");
  }
}

}  // namespace

model::Endpoint parse_source_uri(std::string_view uri) {
  if (!uri.starts_with("postgresql://") && !uri.starts_with("postgres://")) {
    throw bad("does not start with postgresql://");
  }
  model::Endpoint endpoint;
  endpoint.engine_name = "postgres";
  Authority authority = authority_of(uri);
  std::size_t host_begin = authority.begin;
  if (authority.at_sign != std::string_view::npos) {
    std::string_view user = uri.substr(authority.begin, authority.at_sign - authority.begin);
    std::size_t colon = user.find(':');
    endpoint.username = percent_decoded(user.substr(0, colon), "user");
    if (colon != std::string_view::npos) {
      endpoint.password = base::Secret(percent_decoded(user.substr(colon + 1), "password"));
    }
    host_begin = authority.at_sign + 1;
  }
  read_host(endpoint, uri.substr(host_begin, authority.end - host_begin));

  std::string_view rest = uri.substr(authority.end);
  std::size_t question = rest.find('?');
  std::string_view path = rest.substr(0, question);
  if (path.size() < 2) throw bad("names no database");
  // Most likely the password's, which has a '/' before it.
  if (path.find('@') != std::string_view::npos) throw bad("has '@' behind its host");
  endpoint.database_name = percent_decoded(path.substr(1), "database");
  if (question != std::string_view::npos) {
    std::string_view parameters = rest.substr(question + 1);
    while (!parameters.empty()) {
      std::size_t end = std::min(parameters.find('&'), parameters.size());
      if (end > 0) read_parameter(endpoint, parameters.substr(0, end));
      parameters.remove_prefix(std::min(end + 1, parameters.size()));
    }
  }
  return endpoint;
}

void wipe_password(char* uri) {
  std::string hidden = base::hide_password(uri);
  hidden.resize(std::strlen(uri));
  std::ranges::copy(hidden, uri);
}

}  // namespace ferry::cli
