#include "aws/credentials.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "aws/s3_answers.h"
#include "base/error.h"
#include "base/log.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;
using std::chrono::microseconds;

// Fetched anew so long before their end, which leaves time for a service that does not answer.
constexpr microseconds kRefreshBefore = std::chrono::minutes(5);
// After a failed refresh of credentials that still hold.
constexpr microseconds kRefreshAgainAfter = std::chrono::minutes(1);
constexpr std::string_view kContainerHost = "http://169.254.170.2";
constexpr std::string_view kMetadataHost = "http://169.254.169.254";
constexpr std::string_view kMetadataRolePath = "/latest/meta-data/iam/security-credentials/";
constexpr int kMetadataTokenSeconds = 21600;

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
  using Fetch = std::function<Credentials(std::stop_token)>;

  FetchedCredentials(Fetch fetch, base::Clock& clock) : fetch_(std::move(fetch)), clock_(clock) {}

  Credentials get(std::stop_token stop) override {
    std::lock_guard lock(mutex_);
    base::UnixMicros now = clock_.now();
    bool due = !kept_ || (kept_->expires && now >= refresh_at_);
    if (!due) return *kept_;
    try {
      kept_ = fetch_(stop);
      refresh_at_ = kept_->expires.value_or(0) - kRefreshBefore.count();
    } catch (const Error& error) {
      bool still_hold = kept_ && kept_->expires && now < *kept_->expires;
      if (!still_hold) throw;
      base::log_warning(base::kTaskManager, "credentials that end soon could not be fetched anew: {}",
                        error.what());
      refresh_at_ = now + kRefreshAgainAfter.count();
    }
    return *kept_;
  }

  void expired() override {
    std::lock_guard lock(mutex_);
    // Keys that last would be the same ones.
    if (kept_ && kept_->expires) kept_.reset();
  }

 private:
  const Fetch fetch_;
  base::Clock& clock_;
  std::mutex mutex_;  // Guards what follows; held while they are fetched, so that one thread does.
  std::optional<Credentials> kept_;
  base::UnixMicros refresh_at_ = 0;
};

HttpResponse expect_ok(HttpResponse response, std::string_view who) {
  std::string what = fmt::format("it answers with status {}", response.status);
  if (response.status >= 500) throw Error(ErrorKind::kTargetUnreachable, fmt::format("{}: {}", who, what));
  if (response.status != 200) throw refused(who, what);
  return response;
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

std::optional<Credentials> from_profile(const Environment& environment) {
  Profile profile = environment.profile();
  auto text = [&](std::string_view name) {
    auto found = profile.find(name);
    return found == profile.end() ? std::string() : found->second;
  };
  std::string id = text("aws_access_key_id");
  std::string secret = text("aws_secret_access_key");
  if (id.empty() && secret.empty()) {
    for (std::string_view other : {"role_arn", "sso_session", "sso_start_url", "credential_process"}) {
      if (!text(other).empty()) {
        throw refused("the profile", fmt::format("it has {}, which is not supported; name the role in "
                                                 "ServiceAccessRoleArn, or give keys",
                                                 other));
      }
    }
    return std::nullopt;
  }
  if (id.empty() || secret.empty()) {
    throw refused("the profile", "aws_access_key_id or aws_secret_access_key is missing");
  }
  return Credentials{.access_key_id = id,
                     .secret_access_key = base::Secret(secret),
                     .session_token = base::Secret(text("aws_session_token"))};
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
    while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) token->pop_back();
  }
  if (token) request.headers.emplace_back("authorization", *token);
  return parse_credentials(expect_ok(context.http->send(request, stop), kWho).body, kWho);
}

// The role of the machine (Amazon EC2 User Guide, "Use the Instance Metadata Service", version 2). Nothing
// where there is no such service: most machines are not in EC2.
std::optional<Credentials> from_instance(const CredentialContext& context, std::stop_token stop) {
  const Environment& environment = context.environment;
  if (environment.variable("AWS_EC2_METADATA_DISABLED").value_or("") == "true") return std::nullopt;
  constexpr std::string_view kWho = "the instance's metadata service";
  auto place = parse_service_url(
      environment.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or(std::string(kMetadataHost)));
  HttpRequest request{.method = "PUT", .address = place.address, .path = place.path + "/latest/api/token"};
  request.headers.emplace_back("x-aws-ec2-metadata-token-ttl-seconds", std::to_string(kMetadataTokenSeconds));
  HttpResponse answer;
  try {
    answer = context.http->send(request, stop);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kTargetUnreachable) return std::nullopt;
    throw;
  }
  if (answer.status == 403 || answer.status == 404) return std::nullopt;
  std::string token = expect_ok(std::move(answer), kWho).body;

  request = {.method = "GET", .address = place.address, .path = place.path + std::string(kMetadataRolePath)};
  request.headers.emplace_back("x-aws-ec2-metadata-token", token);
  answer = context.http->send(request, stop);
  if (answer.status == 404) return std::nullopt;  // An instance without a role.
  std::string role = expect_ok(std::move(answer), kWho).body;
  request.path += role.substr(0, role.find('\n'));
  return parse_credentials(expect_ok(context.http->send(request, stop), kWho).body, kWho);
}

Credentials from_anywhere(const CredentialContext& context, std::stop_token stop) {
  if (auto found = from_environment(context.environment)) return *found;
  if (auto found = from_profile(context.environment)) return *found;
  if (auto found = from_container(context, stop)) return *found;
  if (auto found = from_instance(context, stop)) return *found;
  throw Error(
      ErrorKind::kTargetAuthentication,
      Error::Parts{
          .message =
              "no AWS credentials were found: neither in the environment (AWS_ACCESS_KEY_ID and "
              "AWS_SECRET_ACCESS_KEY), nor in a profile of ~/.aws/credentials or ~/.aws/config, nor from a "
              "container's or an instance's metadata service",
          .remedy = "Set the two variables, or name a profile in AWS_PROFILE."});
}

std::string form_encoded(const NameValues& fields) {
  std::string form;
  for (const auto& [name, value] : fields) {
    form += (form.empty() ? "" : "&") + name + '=' + percent_encoded(value, Slash::kEncode);
  }
  return form;
}

// AWS Security Token Service API Reference, "AssumeRole".
Credentials assume(const AssumedRole& role, const Credentials& caller, Http& http, const base::Clock& clock,
                   std::stop_token stop) {
  std::string form = form_encoded({{"Action", "AssumeRole"},
                                   {"RoleArn", role.role_arn},
                                   {"RoleSessionName", role.session_name},
                                   {"Version", "2011-06-15"}});
  HttpRequest request{.method = "POST",
                      .address = role.endpoint.address,
                      .path = role.endpoint.path + "/",
                      .headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}},
                      .body = form};
  sign(request, caller, {.region = role.region, .service = "sts"}, clock.now());
  HttpResponse answer = http.send(request, stop);
  if (answer.status != 200) {
    ServiceError error = parse_error(answer.body);
    throw Error(answer.status >= 500 ? ErrorKind::kTargetUnreachable : ErrorKind::kTargetAuthentication,
                {.message = fmt::format("STS does not give the role {}: {}", role.role_arn,
                                        error.message.empty() ? "without a reason" : error.message),
                 .remedy = "Let the role trust the credentials that Ferry has (sts:AssumeRole), or leave "
                           "ServiceAccessRoleArn out.",
                 .vendor_code = error.code.empty() ? fmt::format("HTTP {}", answer.status) : error.code});
  }
  auto text = [&](std::string_view name) {
    return parse_element(answer.body,
                         fmt::format("AssumeRoleResponse/AssumeRoleResult/Credentials/{}", name));
  };
  Credentials credentials{.access_key_id = text("AccessKeyId"),
                          .secret_access_key = base::Secret(text("SecretAccessKey")),
                          .session_token = base::Secret(text("SessionToken")),
                          .expires = parse_iso_time(text("Expiration"))};
  if (credentials.access_key_id.empty()) throw refused("STS", "its answer holds no keys");
  return credentials;
}

class RoleCaller {
 public:
  RoleCaller(AssumedRole role, std::unique_ptr<CredentialSource> caller, std::shared_ptr<Http> http,
             base::Clock& clock)
      : role_(std::move(role)), caller_(std::move(caller)), http_(std::move(http)), clock_(clock) {}

  Credentials fetch(std::stop_token stop) { return assume(role_, caller_->get(stop), *http_, clock_, stop); }

 private:
  const AssumedRole role_;
  const std::unique_ptr<CredentialSource> caller_;
  const std::shared_ptr<Http> http_;
  base::Clock& clock_;
};

}  // namespace

std::unique_ptr<CredentialSource> make_credential_chain(const CredentialContext& context) {
  return std::make_unique<FetchedCredentials>(
      [context](std::stop_token stop) { return from_anywhere(context, std::move(stop)); }, context.clock);
}

std::unique_ptr<CredentialSource> make_role_source(AssumedRole role, std::unique_ptr<CredentialSource> caller,
                                                   std::shared_ptr<Http> http, base::Clock& clock) {
  auto role_caller = std::make_shared<RoleCaller>(std::move(role), std::move(caller), std::move(http), clock);
  return std::make_unique<FetchedCredentials>(
      [role_caller](std::stop_token stop) { return role_caller->fetch(std::move(stop)); }, clock);
}

}  // namespace ferry::aws
