#include "aws/credentials.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <utility>

#include "aws/refusal_kind.h"
#include "aws/sts.h"
#include "base/error.h"
#include "base/log.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;
using std::chrono::microseconds;

// Fetched anew so long before their end, which leaves time for a service that does not answer.
constexpr microseconds kRefreshBefore = std::chrono::minutes(5);
// After a refresh that failed or gave credentials that end soon.
constexpr microseconds kRefreshAgainAfter = std::chrono::minutes(1);
constexpr std::string_view kContainerHost = "http://169.254.170.2";
constexpr std::string_view kMetadataHost = "http://169.254.169.254";
constexpr std::string_view kMetadataRolePath = "/latest/meta-data/iam/security-credentials/";
constexpr int kMetadataTokenSeconds = 21600;
constexpr std::array<std::string_view, 5> kPlatformHosts = {"localhost", "::1", "169.254.170.2",
                                                            "169.254.170.23", "fd00:ec2::23"};

Error refused(std::string_view who, std::string_view what) {
  return Error(ErrorKind::kTargetAuthentication,
               {.message = fmt::format("{} gives no credentials: {}", who, what),
                .remedy = "Correct it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."});
}

// Never repeats the text: it holds a secret.
Credentials parse_credentials(std::string_view json, std::string_view who) {
  boost::system::error_code error;
  boost::json::value parsed = boost::json::parse(json, error);
  const boost::json::object* object = error ? nullptr : parsed.if_object();
  auto text = [&](std::string_view name) -> std::string {
    const boost::json::value* value = object == nullptr ? nullptr : object->if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  Credentials credentials{.access_key_id = text("AccessKeyId"),
                          .secret_access_key = base::Secret(text("SecretAccessKey")),
                          .session_token = base::Secret(text("Token")),
                          .expires = parse_iso_time(text("Expiration"))};
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    throw refused(who, "its answer holds no keys");
  }
  return credentials;
}

// Credentials that are fetched, kept, and fetched anew before they end. A failure of the last is borne as
// long as what is there still holds.
class FetchedCredentials final : public CredentialSource {
 public:
  using Fetch = std::function<Credentials(std::stop_token)>;  // Called by one thread at a time.

  FetchedCredentials(Fetch fetch, base::Clock& clock) : fetch_(std::move(fetch)), clock_(clock) {}

  Credentials get(std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [&] { return !fetching_ || hold(); })) {
      throw Error(ErrorKind::kTargetUnreachable, "the credentials had not come when the work was stopped");
    }
    bool due = !kept_ || (kept_->expires && clock_.now() >= refresh_at_);
    if (fetching_ || !due) return *kept_;

    fetching_ = true;
    lock.unlock();
    std::optional<Credentials> fetched;
    std::exception_ptr failure;
    std::string reason;
    try {
      fetched = fetch_(stop);
    } catch (const std::exception& error) {
      failure = std::current_exception();
      reason = error.what();
    }
    lock.lock();
    fetching_ = false;
    changed_.notify_all();

    base::UnixMicros again_at = clock_.now() + kRefreshAgainAfter.count();
    if (fetched) {
      kept_ = std::move(fetched);
      // Also keys that end soon, or that this machine's clock takes for ended, are not fetched by every call.
      refresh_at_ = std::max(kept_->expires.value_or(0) - kRefreshBefore.count(), again_at);
      return *kept_;
    }
    if (!hold()) std::rethrow_exception(failure);
    base::log_warning(base::kTaskManager, "credentials that end soon could not be fetched anew: {}", reason);
    refresh_at_ = again_at;
    return *kept_;
  }

  void expired(const std::string& access_key_id) override {
    std::lock_guard lock(mutex_);
    if (kept_ && kept_->access_key_id == access_key_id) kept_.reset();
  }

 private:
  bool hold() const { return kept_ && (!kept_->expires || clock_.now() < *kept_->expires); }

  const Fetch fetch_;
  base::Clock& clock_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable_any changed_;
  bool fetching_ = false;
  std::optional<Credentials> kept_;
  base::UnixMicros refresh_at_ = 0;
};

HttpResponse expect_ok(HttpResponse response, std::string_view who) {
  if (response.status == 200) return response;
  std::string what = fmt::format("it answers with status {}", response.status);
  if (kind_of_refusal(response.status, "") != ErrorKind::kTargetUnreachable) throw refused(who, what);
  throw Error(ErrorKind::kTargetUnreachable, fmt::format("{}: {}", who, what));
}

std::string without_line_end(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

std::optional<Credentials> from_environment(const Environment& environment) {
  auto id = environment.variable("AWS_ACCESS_KEY_ID");
  auto secret = environment.variable("AWS_SECRET_ACCESS_KEY");
  if (!id && !secret) return std::nullopt;
  if (!id || !secret)
    throw refused("the environment", "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is missing");
  return Credentials{.access_key_id = *id,
                     .secret_access_key = base::Secret(*secret),
                     .session_token = base::Secret(environment.variable("AWS_SESSION_TOKEN").value_or(""))};
}

// Kubernetes on AWS gives its pods these (Amazon EKS User Guide, "IAM roles for service accounts").
std::optional<Credentials> from_web_identity(const CredentialContext& context, std::stop_token stop) {
  const Environment& environment = context.environment;
  auto token_file = environment.variable("AWS_WEB_IDENTITY_TOKEN_FILE");
  if (!token_file) return std::nullopt;
  constexpr std::string_view kWho = "the web identity";
  auto role = environment.variable("AWS_ROLE_ARN");
  if (!role) throw refused(kWho, "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is missing");
  auto token = environment.file(*token_file);
  if (!token) throw refused(kWho, fmt::format("the token in {} cannot be read", *token_file));
  std::string region = environment.region().value_or(std::string(kDefaultRegion));
  std::string session = environment.variable("AWS_ROLE_SESSION_NAME").value_or(std::string(kRoleSession));
  return assume_role_with_web_identity({.role_arn = *role,
                                        .session_name = session,
                                        .endpoint = sts_endpoint(environment, region),
                                        .region = region},
                                       base::Secret(without_line_end(*token)), *context.sts_http,
                                       std::move(stop));
}

std::optional<Credentials> from_profile(const Environment& environment) {
  Profile profile = environment.profile();
  auto text = [&](std::string_view name) {
    auto found = profile.find(name);
    return found == profile.end() ? std::string() : found->second;
  };
  std::string id = text("aws_access_key_id");
  std::string secret = text("aws_secret_access_key");
  bool has_keys = !id.empty() || !secret.empty();
  for (std::string_view other : {"role_arn", "sso_session", "sso_start_url", "credential_process"}) {
    // Beside keys a process is not asked, but a role is taken with them.
    if (text(other).empty() || (has_keys && other == "credential_process")) continue;
    throw refused("the profile", fmt::format("it has {}, which is not supported; name the role in "
                                             "ServiceAccessRoleArn, or a profile that has keys alone",
                                             other));
  }
  if (!has_keys) return std::nullopt;
  if (id.empty() || secret.empty()) {
    throw refused("the profile", "aws_access_key_id or aws_secret_access_key is missing");
  }
  return Credentials{.access_key_id = id,
                     .secret_access_key = base::Secret(secret),
                     .session_token = base::Secret(text("aws_session_token"))};
}

// Whom a container's token may be told without TLS: this machine, and the addresses of ECS and EKS.
bool is_of_the_platform(const std::string& host) {
  in_addr address{};
  constexpr std::uint32_t kLoopback = 127;
  if (::inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24U == kLoopback)
    return true;
  return std::ranges::count(kPlatformHosts, host) > 0;
}

// What a container gets from its platform (AWS SDKs and Tools Reference Guide, "Container credential
// provider").
std::optional<Credentials> from_container(const CredentialContext& context, std::stop_token stop) {
  const Environment& environment = context.environment;
  auto relative = environment.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  auto full = environment.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (!relative && !full) return std::nullopt;
  constexpr std::string_view kWho = "the container's endpoint";
  std::string url = relative ? std::string(kContainerHost) + *relative : *full;
  std::size_t question = url.find('?');
  ServiceUrl place = parse_service_url(std::string_view(url).substr(0, question));
  if (!place.address.tls && !is_of_the_platform(place.address.host)) {
    throw refused(kWho, fmt::format("{} is neither this machine's nor the platform's own, and not https",
                                    place.address.url()));
  }
  HttpRequest request{
      .method = "GET", .address = place.address, .path = place.path.empty() ? "/" : place.path};
  if (question != std::string::npos) {
    std::string_view rest = std::string_view(url).substr(question + 1);
    while (!rest.empty()) {
      std::string_view part = rest.substr(0, rest.find('&'));
      rest.remove_prefix(std::min(part.size() + 1, rest.size()));
      std::size_t equals = std::min(part.find('='), part.size());
      request.query.emplace_back(percent_decoded(part.substr(0, equals)),
                                 percent_decoded(part.substr(std::min(equals + 1, part.size()))));
    }
  }
  auto token = environment.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (auto token_file = environment.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    token = environment.file(*token_file);
    if (!token) throw refused(kWho, fmt::format("the token in {} cannot be read", *token_file));
    token = without_line_end(*token);
  }
  if (token) request.headers.emplace_back("authorization", *token);
  return parse_credentials(expect_ok(context.http->send(request, stop), kWho).body, kWho);
}

// The role of the machine (Amazon EC2 User Guide, "Use the Instance Metadata Service", version 2). Nothing
// where there is no such service: most machines are not in EC2. One that has answered once is known to be.
std::optional<Credentials> from_instance(const CredentialContext& context, bool& is_instance,
                                         std::stop_token stop) {
  const Environment& environment = context.environment;
  if (environment.flag("AWS_EC2_METADATA_DISABLED", "")) return std::nullopt;
  constexpr std::string_view kWho = "the instance's metadata service";
  auto place = parse_service_url(
      environment.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or(std::string(kMetadataHost)));
  HttpRequest request{.method = "PUT", .address = place.address, .path = place.path + "/latest/api/token"};
  request.headers.emplace_back("x-aws-ec2-metadata-token-ttl-seconds", std::to_string(kMetadataTokenSeconds));
  HttpResponse answer;
  try {
    answer = context.http->send(request, stop);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kTargetUnreachable && !is_instance) return std::nullopt;
    throw;
  }
  if (answer.status == 403 || answer.status == 404) return std::nullopt;
  std::string token = expect_ok(std::move(answer), kWho).body;
  is_instance = true;

  request = {.method = "GET", .address = place.address, .path = place.path + std::string(kMetadataRolePath)};
  request.headers.emplace_back("x-aws-ec2-metadata-token", token);
  answer = context.http->send(request, stop);
  if (answer.status == 404) return std::nullopt;  // An instance without a role.
  std::string role = expect_ok(std::move(answer), kWho).body;
  request.path += role.substr(0, role.find('\n'));
  return parse_credentials(expect_ok(context.http->send(request, stop), kWho).body, kWho);
}

Credentials from_anywhere(const CredentialContext& context, bool& is_instance, std::stop_token stop) {
  if (auto found = from_environment(context.environment)) return *found;
  if (auto found = from_web_identity(context, stop)) return *found;
  if (auto found = from_profile(context.environment)) return *found;
  if (auto found = from_container(context, stop)) return *found;
  if (auto found = from_instance(context, is_instance, stop)) return *found;
  throw Error(
      ErrorKind::kTargetAuthentication,
      Error::Parts{.message =
                       "no AWS credentials were found: neither in the environment (AWS_ACCESS_KEY_ID and "
                       "AWS_SECRET_ACCESS_KEY, or AWS_WEB_IDENTITY_TOKEN_FILE), nor in a profile of "
                       "~/.aws/credentials or ~/.aws/config, nor from a "
                       "container's or an instance's metadata service",
                   .remedy = "Set the two variables, or name a profile in AWS_PROFILE."});
}

}  // namespace

std::unique_ptr<CredentialSource> make_credential_chain(const CredentialContext& context) {
  return std::make_unique<FetchedCredentials>(
      [context, is_instance = false](std::stop_token stop) mutable {
        return from_anywhere(context, is_instance, std::move(stop));
      },
      context.clock);
}

std::unique_ptr<CredentialSource> make_role_source(AssumedRole role, std::shared_ptr<CredentialSource> caller,
                                                   std::shared_ptr<Http> http, base::Clock& clock) {
  return std::make_unique<FetchedCredentials>(
      [role = std::move(role), caller = std::move(caller), http = std::move(http),
       &clock](std::stop_token stop) { return assume_role(role, *caller, *http, clock, std::move(stop)); },
      clock);
}

}  // namespace ferry::aws
