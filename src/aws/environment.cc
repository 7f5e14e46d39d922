#include "aws/environment.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>

#include "aws/http.h"
#include "base/error.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::string_view kDefaultProfile = "default";

std::optional<std::string> process_variable(const char* name) {
  const char* value = ::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string bytes(std::istreambuf_iterator<char>(in), {});
  if (in.bad()) return std::nullopt;
  return bytes;
}

}  // namespace

Environment Environment::of_process() { return {.variable = process_variable, .file = read_file}; }

Profile Environment::profile() const {
  std::optional<std::string> named = variable("AWS_PROFILE");
  std::string name = named.value_or(std::string(kDefaultProfile));
  std::string home = variable("HOME").value_or("") + "/.aws/";
  auto read = [&](const char* path_variable, const char* path,
                  ProfileFileKind kind) -> std::optional<Profile> {
    std::optional<std::string> text = file(variable(path_variable).value_or(home + path));
    if (!text) return std::nullopt;
    auto profiles = parse_profiles(*text, kind);
    auto found = profiles.find(name);
    if (found == profiles.end()) return std::nullopt;
    return std::move(found->second);
  };
  std::optional<Profile> config = read("AWS_CONFIG_FILE", "config", ProfileFileKind::kConfig);
  std::optional<Profile> credentials =
      read("AWS_SHARED_CREDENTIALS_FILE", "credentials", ProfileFileKind::kCredentials);
  if (named && !config && !credentials) {
    throw Error(ErrorKind::kTargetAuthentication,
                {.message = fmt::format("there is no profile '{}', which AWS_PROFILE names", name),
                 .remedy = "Correct AWS_PROFILE, or write the profile into ~/.aws/credentials."});
  }
  Profile merged = credentials.value_or(Profile());
  if (config) merged.merge(*config);
  return merged;
}

std::string Environment::setting(const char* variable_name, std::string_view profile_name) const {
  if (std::optional<std::string> value = variable(variable_name)) return *value;
  Profile settings = profile();
  auto found = settings.find(profile_name);
  return found == settings.end() ? std::string() : found->second;
}

bool Environment::flag(const char* variable_name, std::string_view profile_name) const {
  std::string value = setting(variable_name, profile_name);
  std::ranges::transform(value, value.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return value == "true";
}

std::string Environment::host_of(const std::string& service, std::string_view region) const {
  std::string name = service;
  if (flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")) name += "-fips";
  if (service == "s3" && flag("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")) name += ".dualstack";
  return aws_host(name, region);
}

bool Environment::ignores_endpoint_urls() const {
  return flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls");
}

std::string Environment::sts_url() const {
  return ignores_endpoint_urls() ? std::string() : variable("AWS_ENDPOINT_URL_STS").value_or("");
}

std::optional<std::string> Environment::region() const {
  if (std::optional<std::string> region = variable("AWS_REGION")) return region;
  std::string region = setting("AWS_DEFAULT_REGION", "region");
  return region.empty() ? std::nullopt : std::optional(region);
}

std::string Environment::certificate_authorities() const {
  std::string path = setting("AWS_CA_BUNDLE", "ca_bundle");
  if (path.empty()) return {};
  std::optional<std::string> text = file(path);
  // Nothing in it would mean the system's.
  if (text && !text->empty()) return *text;
  throw Error(ErrorKind::kTargetTls,
              {.message = fmt::format("the certificate authorities in {} cannot be read, or are none", path),
               .remedy = "Correct AWS_CA_BUNDLE or the profile's ca_bundle."});
}

}  // namespace ferry::aws
