#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/secret.h"

namespace ferry::model {

// One setting of an endpoint as its document gave it.
struct EndpointSetting {
  std::string name;   // As given: "CdcMaxBatchInterval".
  std::string value;  // JSON strings without quotes; numbers and booleans as JSON writes them.
  enum class From : std::uint8_t { kSettings, kExtraConnectionAttributes } from = From::kSettings;
};

// A source or target as CreateEndpoint describes it: a value without a connection. The connector's own
// `settings` turns it into a typed form and refuses what is wrong.
struct Endpoint {
  std::string identifier;
  std::string engine_name;  // DMS's EngineName: "postgres", "s3" …
  std::string server_name;
  std::uint16_t port = 0;  // 0 = the engine's default.
  std::string database_name;
  std::string username;
  base::Secret password;
  std::string ssl_mode;         // "", "none", "require", "verify-ca" or "verify-full".
  std::string certificate_pem;  // The certificate authorities to trust; empty = the system's.
  std::string endpoint_url;     // S3: where the service is; "file:///directory" for plain folders.

  // <Engine>Settings and extra connection attributes in one, by lower-case name; the attributes have won.
  std::map<std::string, EndpointSetting, std::less<>> settings;

  const EndpointSetting* find_setting(std::string_view lower_case_name) const {
    auto found = settings.find(lower_case_name);
    return found == settings.end() ? nullptr : &found->second;
  }
};

// "postgres at db.example:5432/shop", for messages; without user and secrets.
std::string to_string(const Endpoint& endpoint);

}  // namespace ferry::model
