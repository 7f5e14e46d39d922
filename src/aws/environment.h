#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "aws/profile_file.h"

namespace ferry::aws {

inline constexpr std::string_view kDefaultRegion = "us-east-1";
// How the sessions of roles are called.
inline constexpr std::string_view kRoleSession = "ferry";

// What the process was started with, as far as AWS's tools look at it (AWS SDKs and Tools Reference Guide). A
// value; tests make their own.
struct Environment {
  // A variable's value; nothing where it is unset or empty.
  std::function<std::optional<std::string>(const char* name)> variable;
  // A file's bytes; nothing where it cannot be read.
  std::function<std::optional<std::string>(const std::string& path)> file;

  static Environment of_process();

  // The profile that AWS_PROFILE names, else "default": the credentials file's settings win over the config
  // file's. Throws Error(kTargetAuthentication) when AWS_PROFILE names one that neither file has.
  Profile profile() const;
  // What a variable says, else a setting of the profile; "" where neither does. A flag says "true", in
  // letters of any case.
  std::string setting(const char* variable_name, std::string_view profile_name) const;
  bool flag(const char* variable_name, std::string_view profile_name) const;
  // The host of a service of AWS: the one with FIPS 140, or the one of S3 with IPv6, where it is asked for.
  std::string host_of(const std::string& service, std::string_view region) const;
  // What AWS_ENDPOINT_URL_STS names; "" where nothing, or where configured endpoints are ignored.
  std::string sts_url() const;
  // Whether AWS_IGNORE_CONFIGURED_ENDPOINT_URLS or the profile says so.
  bool ignores_endpoint_urls() const;
  // AWS_REGION, AWS_DEFAULT_REGION, the profile's region; nothing where none says.
  std::optional<std::string> region() const;
  // What AWS_CA_BUNDLE, else the profile's ca_bundle, holds; empty where neither is set. Throws
  // Error(kTargetTls) when the file cannot be read or is empty.
  std::string certificate_authorities() const;
};

}  // namespace ferry::aws
