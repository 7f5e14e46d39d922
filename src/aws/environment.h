#pragma once

#include <functional>
#include <optional>
#include <string>

#include "aws/profile_file.h"

namespace ferry::aws {

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
  // AWS_REGION, AWS_DEFAULT_REGION, the profile's region; nothing where none says.
  std::optional<std::string> region() const;
  // What AWS_CA_BUNDLE, else the profile's ca_bundle, holds; empty where neither is set. Throws
  // Error(kTargetTls) when the file cannot be read.
  std::string certificate_authorities() const;
  // AWS_ENDPOINT_URL_<SERVICE>, else AWS_ENDPOINT_URL; nothing where AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is
  // true.
  std::optional<std::string> endpoint_url(const std::string& service) const;
};

}  // namespace ferry::aws
