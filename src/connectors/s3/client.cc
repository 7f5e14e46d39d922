#include "connectors/s3/client.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "aws/credentials.h"
#include "aws/sts.h"
#include "base/error.h"
#include "base/log.h"

namespace ferry::s3 {
namespace {

// Most machines have no metadata service, and a network may swallow what is sent to its address; one that is
// there answers at once.
constexpr std::chrono::seconds kMetadataTimeout{2};

// One for the process: what gave keys once is waited for, also by a task's next attempt.
std::shared_ptr<aws::CredentialSource> credentials_of_process(const aws::Environment& environment) {
  static const std::shared_ptr<aws::CredentialSource> credentials = aws::make_credential_chain(
      {.environment = environment,
       // Metadata services have addresses of this machine's own.
       .http = aws::make_http(
           {.connect_timeout = kMetadataTimeout, .use_proxy = false, .stall_max = kMetadataTimeout}),
       .clock = base::Clock::real(),
       .sts_http = aws::make_http({.certificate_authorities = environment.certificate_authorities()})});
  return credentials;
}

std::shared_ptr<aws::CredentialSource> with_role(const BucketSettings& settings,
                                                 const aws::Environment& environment,
                                                 const aws::Bucket& bucket, std::shared_ptr<aws::Http> http,
                                                 std::shared_ptr<aws::CredentialSource> caller) {
  const std::string& role = settings.service_access_role_arn;
  if (role.empty()) return caller;
  if (!has_sts(environment, bucket)) {
    base::log_info(base::kTaskManager,
                   "ServiceAccessRoleArn {} has no effect: {} is not AWS, and AWS_ENDPOINT_URL_STS names no "
                   "other place to "
                   "ask for the role",
                   role, settings.endpoint_url);
    return caller;
  }
  return aws::make_role_source({.role_arn = role,
                                .session_name = std::string(aws::kRoleSession),
                                .endpoint = aws::sts_endpoint(environment, bucket.region),
                                .region = bucket.region},
                               std::move(caller), std::move(http), base::Clock::real());
}

}  // namespace

bool has_sts(const aws::Environment& environment, const aws::Bucket& bucket) {
  return aws::is_aws_host(bucket.address.host) || !environment.sts_url().empty();
}

std::string bucket_url(const aws::Environment& environment, const BucketSettings& settings,
                       const std::string& region) {
  if (!settings.endpoint_url.empty()) return settings.endpoint_url;
  for (const char* name : {"endpoint_url", "services"}) {
    if (environment.ignores_endpoint_urls() || !environment.profile().contains(name)) continue;
    throw base::Error(
        base::ErrorKind::kUnsupported,
        {.message =
             fmt::format("the profile has {}, which may name another service than AWS and is not read", name),
         .remedy = "Name the service in EndpointUrl or AWS_ENDPOINT_URL_S3; for AWS itself set "
                   "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true."});
  }
  return "https://" + environment.host_of("s3", region);
}

std::shared_ptr<aws::S3Client> make_client(const BucketSettings& settings, std::stop_token stop) {
  aws::Environment environment = aws::Environment::of_process();
  std::string region = environment.region().value_or(std::string(aws::kDefaultRegion));
  std::string authorities = settings.certificate_authorities;
  if (authorities.empty()) authorities = environment.certificate_authorities();
  std::shared_ptr<aws::Http> http = aws::make_http({.certificate_authorities = authorities});
  aws::Bucket bucket =
      aws::locate_bucket(bucket_url(environment, settings, region), settings.name, region, settings.style);
  auto credentials = with_role(settings, environment, bucket, http, credentials_of_process(environment));
  return std::make_shared<aws::S3Client>(
      aws::S3Client::Parts{.bucket = std::move(bucket),
                           .attributes = settings.attributes,
                           .expected_bucket_owner = settings.expected_bucket_owner,
                           .http = std::move(http),
                           .credentials = std::move(credentials),
                           .clock = base::Clock::real(),
                           .stop = std::move(stop)});
}

}  // namespace ferry::s3
