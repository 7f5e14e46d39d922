#include "connectors/postgres/settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using model::Endpoint;
using model::EndpointSetting;

// Where Debian and its kin keep the system's certificate authorities.
constexpr std::string_view kSystemCertificates = "/etc/ssl/certs/ca-certificates.crt";

// Settings of DMS's PostgreSQLSettings that say nothing to a source of ours: the connection's own members come
// with the endpoint, the others are for targets, or tune ways of reading that Ferry does not have.
constexpr std::array<std::string_view, 19> kAccepted = {
    "afterconnectscript", "authenticationmethod", "babelfishdatabasename",       "databasename",
    "consumemonotonicevents", "disableunicodesourcefilter", "failtasksonlobtruncation", "fetchcachesize",
    "maxfilesize",        "password",             "port",                        "secretsmanageraccessrolearn",
    "secretsmanagersecretid", "servername",       "serviceaccessrolearn",        "username",
    "databasemode",       "idletimeout",          "tablesfilter"};

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

// Typed access to the endpoint's settings; DMS's rules for their spelling.
class Reader {
 public:
  explicit Reader(const Endpoint& endpoint) : endpoint_(endpoint) {}

  bool boolean(std::string_view name, bool otherwise) {
    const EndpointSetting* setting = find(name);
    if (setting == nullptr) return otherwise;
    std::string value = lower(setting->value);
    if (value == "true" || value == "y" || value == "yes" || value == "1") return true;
    if (value == "false" || value == "n" || value == "no" || value == "0") return false;
    throw invalid(*setting, "true or false");
  }

  std::int64_t integer(std::string_view name, std::int64_t otherwise, std::int64_t from, std::int64_t to) {
    const EndpointSetting* setting = find(name);
    if (setting == nullptr) return otherwise;
    std::int64_t number = 0;
    const std::string& value = setting->value;
    auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (failed != std::errc() || end != value.data() + value.size() || number < from || number > to) {
      throw invalid(*setting, fmt::format("a whole number from {} to {}", from, to));
    }
    return number;
  }

  std::string text(std::string_view name, std::string otherwise) {
    const EndpointSetting* setting = find(name);
    return setting == nullptr ? otherwise : setting->value;
  }

  std::optional<std::string> word(std::string_view name) {
    const EndpointSetting* setting = find(name);
    if (setting == nullptr || setting->value.empty()) return std::nullopt;
    std::string value = lower(setting->value);
    std::ranges::replace(value, '_', '-');
    return value;
  }

  Error invalid(const EndpointSetting& setting, std::string_view allowed) const {
    return Error(ErrorKind::kDocumentInvalid,
                 {.message = fmt::format("endpoint {}: {} has a value that is not {}", endpoint_.identifier,
                                         setting.name, allowed),
                  .remedy = fmt::format("Give {} as {}.", setting.name, allowed)});
  }
  Error invalid(std::string_view name, std::string_view allowed) const {
    return invalid(*endpoint_.find_setting(lower(name)), allowed);
  }

  // Every setting was asked for or is known to mean nothing here.
  void refuse_others() const {
    for (const auto& [name, setting] : endpoint_.settings) {
      if (std::ranges::find(asked_, name) != asked_.end()) continue;
      if (std::ranges::find(kAccepted, name) != kAccepted.end()) continue;
      throw Error(ErrorKind::kSettingUnknown,
                  {.message = fmt::format("endpoint {}: a PostgreSQL source has no setting {}",
                                          endpoint_.identifier, setting.name),
                   .remedy = "Remove the setting or correct its name."});
    }
  }

 private:
  const EndpointSetting* find(std::string_view name) {
    std::string key = lower(name);
    const EndpointSetting* setting = endpoint_.find_setting(key);
    asked_.push_back(std::move(key));
    return setting;
  }

  const Endpoint& endpoint_;
  std::vector<std::string> asked_;
};

bool is_loopback(std::string_view host) {
  return host.empty() || host.front() == '/' || host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::string libpq_ssl_mode(const Endpoint& endpoint) {
  if (endpoint.ssl_mode.empty()) return is_loopback(endpoint.server_name) ? "prefer" : "verify-full";
  if (endpoint.ssl_mode == "none") return "disable";
  return endpoint.ssl_mode;
}

Plugin plugin_of(Reader& reader) {
  auto word = reader.word("PluginName");
  if (!word || *word == "no-preference" || *word == "pglogical" || *word == "pgoutput") return Plugin::kNoPreference;
  if (*word == "test-decoding") return Plugin::kTestDecoding;
  throw reader.invalid("PluginName", "no-preference, pglogical or test-decoding");
}

LongVarchar long_varchar_of(Reader& reader) {
  auto word = reader.word("MapLongVarcharAs");
  if (!word || *word == "wstring") return LongVarchar::kWstring;
  if (*word == "clob") return LongVarchar::kClob;
  if (*word == "nclob") return LongVarchar::kNclob;
  throw reader.invalid("MapLongVarcharAs", "wstring, clob or nclob");
}

}  // namespace

PrivateFile::PrivateFile(std::string_view content) {
  // mkstemp() makes the file readable by this user alone.
  std::string name = (std::filesystem::temp_directory_path() / "ferry-ca-XXXXXX").string();
  int file = ::mkstemp(name.data());
  if (file < 0) throw Error(ErrorKind::kStateUnusable, "cannot make a temporary file for the endpoint's certificate");
  path_ = name;
  while (!content.empty()) {
    ssize_t written = ::write(file, content.data(), content.size());
    if (written < 0) break;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  ::close(file);
  if (content.empty()) return;
  ::unlink(path_.c_str());
  throw Error(ErrorKind::kStateUnusable, "cannot write the endpoint's certificate to a temporary file");
}

PrivateFile::~PrivateFile() { ::unlink(path_.c_str()); }

Settings read_settings(const Endpoint& endpoint) {
  Reader reader(endpoint);
  Settings settings;
  settings.host = endpoint.server_name;
  if (endpoint.port != 0) settings.port = endpoint.port;
  settings.database = endpoint.database_name;
  settings.user = endpoint.username;
  settings.password = endpoint.password;
  settings.ssl_mode = libpq_ssl_mode(endpoint);
  if (settings.ssl_mode.starts_with("verify-")) {
    if (!endpoint.certificate_pem.empty()) {
      settings.certificate_file = std::make_shared<PrivateFile>(endpoint.certificate_pem);
    }
    settings.ssl_root_certificate =
        settings.certificate_file ? settings.certificate_file->path().string() : std::string(kSystemCertificates);
  }
  settings.connection_timeout = std::chrono::seconds(reader.integer("ConnectionTimeout", 10, 1, 3600));
  settings.execute_timeout = std::chrono::seconds(reader.integer("ExecuteTimeout", 60, 1, 86400));

  settings.map_boolean_as_boolean = reader.boolean("MapBooleanAsBoolean", false);
  settings.map_jsonb_as_clob = reader.boolean("MapJsonbAsClob", false);
  settings.map_unbounded_numeric_as_string = reader.boolean("MapUnboundedNumericAsString", false);
  settings.trim_space_in_char = reader.boolean("TrimSpaceInChar", true);
  settings.long_varchar = long_varchar_of(reader);
  settings.unbounded_varchar_length =
      static_cast<std::int32_t>(reader.integer("UnboundedVarcharMaxSize", 0, 1, 10'485'760));

  settings.plugin = plugin_of(reader);
  settings.slot_name = reader.text("SlotName", "");
  settings.capture_ddls = reader.boolean("CaptureDdls", true);
  settings.ddl_artifacts_schema = reader.text("DdlArtifactsSchema", "public");
  settings.heartbeat = reader.boolean("HeartbeatEnable", false);
  settings.heartbeat_schema = reader.text("HeartbeatSchema", "public");
  settings.heartbeat_frequency = std::chrono::minutes(reader.integer("HeartbeatFrequency", 5, 1, 1440));

  if (endpoint.database_name.empty()) {
    throw Error(ErrorKind::kDocumentInvalid, {.message = fmt::format("endpoint {} names no database", endpoint.identifier),
                                              .remedy = "Set DatabaseName."});
  }
  if (reader.word("DatabaseMode").value_or("default") != "default") {
    throw Error(ErrorKind::kUnsupported, {.message = fmt::format("endpoint {}: DatabaseMode babelfish is not supported",
                                                                 endpoint.identifier),
                                          .remedy = "Remove DatabaseMode and name the PostgreSQL database."});
  }
  if (reader.word("AuthenticationMethod").value_or("password") != "password") {
    throw Error(ErrorKind::kUnsupported, {.message = fmt::format("endpoint {}: AuthenticationMethod iam is not supported",
                                                                 endpoint.identifier),
                                          .remedy = "Give a user name and a password."});
  }
  reader.refuse_others();
  return settings;
}

}  // namespace ferry::postgres
