#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/secret.h"
#include "model/endpoint.h"

namespace ferry::postgres {

// A file of this process alone that is gone with its last owner.
class PrivateFile {
 public:
  explicit PrivateFile(std::string_view content);
  ~PrivateFile();
  PrivateFile(const PrivateFile&) = delete;
  PrivateFile& operator=(const PrivateFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// DMS's PluginName. Ferry reads `pglogical` and `no-preference` as: pgoutput where the publications can be
// made.
enum class Plugin : std::uint8_t { kNoPreference, kTestDecoding };

// DMS's MapLongVarcharAs: what a varchar(n) with n above kLongVarcharLength becomes.
enum class LongVarchar : std::uint8_t { kWstring, kClob, kNclob };
inline constexpr std::int32_t kLongVarcharLength = 16387;

// The typed form of a PostgreSQL source endpoint. A value; any thread.
struct Settings {
  // Connection.
  std::string host;
  std::uint16_t port = 5432;
  std::string database;
  std::string user;
  base::Secret password;
  std::string ssl_mode;                                 // libpq's own word.
  std::string ssl_root_certificate;                     // A path; empty where nothing is verified.
  std::shared_ptr<const PrivateFile> certificate_file;  // Keeps the path above alive.
  std::chrono::seconds connection_timeout{10};
  std::chrono::seconds execute_timeout{60};
  std::string after_connect_script;  // SQL for every connection but those that stream.

  // Types.
  bool map_boolean_as_boolean = false;
  bool map_jsonb_as_clob = false;
  bool map_unbounded_numeric_as_string = false;
  bool trim_space_in_char = true;
  LongVarchar long_varchar = LongVarchar::kWstring;
  std::int32_t unbounded_varchar_length = 0;  // 0: no length is claimed, unless the user names one.

  // Capture.
  Plugin plugin = Plugin::kNoPreference;
  std::string slot_name;  // The user's own slot; empty = Ferry makes one.
  bool capture_ddls = true;
  std::string ddl_artifacts_schema = "public";
  bool heartbeat_enable = false;
  std::string heartbeat_schema = "public";
  std::chrono::minutes heartbeat_frequency{5};
};

// Makes no connection. Throws Error(kDocumentInvalid, kSettingUnknown, kSettingConflict).
Settings read_settings(const model::Endpoint& endpoint);

}  // namespace ferry::postgres
