#include "aws/environment.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>

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

std::optional<std::string> Environment::region() const {
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (std::optional<std::string> region = variable(name)) return region;
  }
  Profile found = profile();
  auto region = found.find("region");
  if (region == found.end() || region->second.empty()) return std::nullopt;
  return region->second;
}

std::string Environment::certificate_authorities() const {
  std::optional<std::string> path = variable("AWS_CA_BUNDLE");
  if (!path) {
    Profile found = profile();
    auto bundle = found.find("ca_bundle");
    if (bundle == found.end() || bundle->second.empty()) return {};
    path = bundle->second;
  }
  std::optional<std::string> text = file(*path);
  if (text) return *text;
  throw Error(ErrorKind::kTargetTls,
              {.message = fmt::format("the certificate authorities in {} cannot be read", *path),
               .remedy = "Correct AWS_CA_BUNDLE or the profile's ca_bundle."});
}

std::optional<std::string> Environment::endpoint_url(const std::string& service) const {
  if (variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").value_or("") == "true") return std::nullopt;
  std::optional<std::string> own = variable(("AWS_ENDPOINT_URL_" + service).c_str());
  return own ? own : variable("AWS_ENDPOINT_URL");
}

}  // namespace ferry::aws
