#include "cli/target_uri.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <strings.h>

#include <algorithm>

#include "base/error.h"

namespace ferry::cli {
namespace {

constexpr std::string_view kBucketScheme = "s3://";

// AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
std::string service_url() {
  const char* ignored = ::getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
  if (ignored != nullptr && ::strcasecmp(ignored, "true") == 0) return {};
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    const char* url = ::getenv(name);
    if (url != nullptr && *url != '\0') return url;
  }
  return {};
}

void set(model::Endpoint& endpoint, const std::string& lower_case_name, const std::string& name,
         std::string_view value) {
  if (!value.empty()) endpoint.settings[lower_case_name] = {.name = name, .value = std::string(value)};
}

}  // namespace

std::string normal_target_uri(std::string_view uri) {
  if (!uri.starts_with("file:///") && !uri.starts_with(kBucketScheme)) return std::string(uri);
  std::size_t at = std::min(uri.find('/', uri.find("://") + 3), uri.size());
  std::string normal(uri.substr(0, at));
  while (at < uri.size()) {
    std::size_t end = std::min(uri.find('/', at + 1), uri.size());
    std::string_view part = uri.substr(at, end - at);
    if (part != "/" && part != "/.") normal += part;
    at = end;
  }
  return normal.ends_with("://") ? std::string(uri) : normal;
}

model::Endpoint parse_target_uri(std::string_view uri) {
  model::Endpoint target;
  target.identifier = "target";
  target.engine_name = "s3";
  if (!uri.starts_with(kBucketScheme)) {
    target.endpoint_url = uri;
    return target;
  }
  std::string_view place = uri.substr(kBucketScheme.size());
  std::size_t slash = std::min(place.find('/'), place.size());
  if (slash == 0) throw base::Error(base::ErrorKind::kUsage, "the target s3:// names no bucket");
  target.endpoint_url = service_url();
  set(target, "bucketname", "BucketName", place.substr(0, slash));
  set(target, "bucketfolder", "BucketFolder", place.substr(std::min(slash + 1, place.size())));
  return target;
}

}  // namespace ferry::cli
