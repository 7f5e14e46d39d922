#include "connectors/s3/client.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"

namespace ferry::s3 {
namespace {

constexpr std::string_view kDefaultRegion = "us-east-1";
constexpr std::string_view kRoleSession = "ferry";
// Most machines have no metadata service, and a network may swallow what is sent to its address.
constexpr std::chrono::seconds kMetadataConnectTimeout{2};

// The role is taken where there is an STS to ask: one that is named, or AWS's own for a bucket of AWS.
std::unique_ptr<aws::CredentialSource> with_role(const BucketSettings& settings,
                                                 const aws::Environment& environment,
                                                 const std::string& region, std::shared_ptr<aws::Http> http,
                                                 std::unique_ptr<aws::CredentialSource> caller) {
  const std::string& role = settings.service_access_role_arn;
  if (role.empty()) return caller;
  std::optional<std::string> url = environment.variable("AWS_ENDPOINT_URL_STS");
  if (!url && settings.endpoint_url.empty()) url = fmt::format("https://sts.{}.amazonaws.com", region);
  if (!url) {
    base::log_info(base::kTaskManager,
                   "ServiceAccessRoleArn {} has no effect: {} is not AWS, and AWS_ENDPOINT_URL_STS names no "
                   "other place to "
                   "ask for the role",
                   role, settings.endpoint_url);
    return caller;
  }
  return aws::make_role_source({.role_arn = role,
                                .session_name = std::string(kRoleSession),
                                .endpoint = aws::parse_service_url(*url),
                                .region = region},
                               std::move(caller), std::move(http), base::Clock::real());
}

}  // namespace

std::shared_ptr<aws::S3Client> make_client(const BucketSettings& settings, std::stop_token stop) {
  aws::Environment environment = aws::Environment::of_process();
  std::string region = environment.region().value_or(std::string(kDefaultRegion));
  std::string authorities = settings.certificate_authorities;
  if (authorities.empty()) authorities = environment.certificate_authorities();
  std::shared_ptr<aws::Http> http = aws::make_http({.certificate_authorities = authorities});
  // Metadata services have addresses of this machine's own.
  std::shared_ptr<aws::Http> metadata =
      aws::make_http({.connect_timeout = kMetadataConnectTimeout, .use_proxy = false});
  auto credentials = aws::make_credential_chain(
      {.environment = environment, .http = metadata, .clock = base::Clock::real()});
  return std::make_shared<aws::S3Client>(aws::S3Client::Parts{
      .bucket = aws::locate_bucket(settings.endpoint_url, settings.name, region, settings.style),
      .attributes = settings.attributes,
      .expected_bucket_owner = settings.expected_bucket_owner,
      .http = http,
      .credentials = with_role(settings, environment, region, http, std::move(credentials)),
      .clock = base::Clock::real(),
      .stop = std::move(stop)});
}

}  // namespace ferry::s3
