#include "connectors/postgres/settings.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/endpoint_settings.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using model::Endpoint;
using model::SettingReader;

// Where Debian and its kin keep the system's certificate authorities.
constexpr std::string_view kSystemCertificates = "/etc/ssl/certs/ca-certificates.crt";

bool is_loopback(const std::string& host) {
  if (host.empty() || host.front() == '/' || host == "localhost" || host == "::1") return true;
  // A name may begin like an address.
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 && host.starts_with("127.");
}

std::string libpq_ssl_mode(const Endpoint& endpoint) {
  if (endpoint.ssl_mode.empty()) return is_loopback(endpoint.server_name) ? "prefer" : "verify-full";
  if (endpoint.ssl_mode == "none") return "disable";
  return endpoint.ssl_mode;
}

// No limit that a person sets is meant to be longer.
constexpr std::int64_t kSecondsMax = 30 * 24 * 3600;
constexpr std::int64_t kMinutesMax = kSecondsMax / 60;

std::chrono::seconds seconds_of(const SettingReader& settings, std::string_view name) {
  return std::chrono::seconds(std::clamp(settings.integer(name), std::int64_t{1}, kSecondsMax));
}

LongVarchar long_varchar_of(const SettingReader& settings) {
  const std::string& word = settings.choice("MapLongVarcharAs");
  if (word == "clob") return LongVarchar::kClob;
  return word == "nclob" ? LongVarchar::kNclob : LongVarchar::kWstring;
}

}  // namespace

PrivateFile::PrivateFile(std::string_view content) {
  // mkstemp() makes the file readable by this user alone.
  std::string name = (std::filesystem::temp_directory_path() / "ferry-ca-XXXXXX").string();
  int file = ::mkstemp(name.data());
  if (file < 0)
    throw Error(ErrorKind::kStateUnusable, "cannot make a temporary file for the endpoint's certificate");
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
  SettingReader reader(endpoint, model::EndpointRole::kSource);
  if (endpoint.database_name.empty()) {
    throw Error(ErrorKind::kDocumentInvalid,
                {.message = fmt::format("endpoint {} names no database", endpoint.identifier),
                 .remedy = "Set DatabaseName."});
  }
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
    settings.ssl_root_certificate = settings.certificate_file ? settings.certificate_file->path().string()
                                                              : std::string(kSystemCertificates);
  }
  settings.connection_timeout = seconds_of(reader, "ConnectionTimeout");
  settings.execute_timeout = seconds_of(reader, "ExecuteTimeout");
  settings.after_connect_script = reader.text("AfterConnectScript");

  settings.map_boolean_as_boolean = reader.boolean("MapBooleanAsBoolean");
  settings.map_jsonb_as_clob = reader.boolean("MapJsonbAsClob");
  settings.map_unbounded_numeric_as_string = reader.boolean("MapUnboundedNumericAsString");
  settings.trim_space_in_char = reader.boolean("TrimSpaceInChar");
  settings.long_varchar = long_varchar_of(reader);
  if (reader.named("unboundedVarcharMaxSize")) {
    settings.unbounded_varchar_length = static_cast<std::int32_t>(reader.integer("unboundedVarcharMaxSize"));
  }

  settings.plugin =
      reader.choice("PluginName") == "test-decoding" ? Plugin::kTestDecoding : Plugin::kNoPreference;
  settings.slot_name = reader.text("SlotName");
  settings.capture_ddls = reader.boolean("CaptureDdls");
  settings.ddl_artifacts_schema = reader.text("DdlArtifactsSchema");
  settings.heartbeat_enable = reader.boolean("HeartbeatEnable");
  settings.heartbeat_schema = reader.text("HeartbeatSchema");
  settings.heartbeat_frequency =
      std::chrono::minutes(std::clamp(reader.integer("HeartbeatFrequency"), std::int64_t{1}, kMinutesMax));
  return settings;
}

}  // namespace ferry::postgres
