#include "aws/sts.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <utility>

#include "aws/refusal_kind.h"
#include "aws/s3_answers.h"
#include "base/error.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::string_view kVersion = "2011-06-15";
// A signature holds for five minutes (AWS General Reference, "Signature Version 4 signing process").
constexpr std::int64_t kClockSkewMaxMicros = 5 * 60 * std::int64_t{1'000'000};

std::string form_encoded(const NameValues& fields) {
  std::string form;
  for (const auto& [name, value] : fields) {
    form += (form.empty() ? "" : "&") + name + '=' + percent_encoded(value, Slash::kEncode);
  }
  return form;
}

// `form` lives as long as the request.
HttpRequest request_for(const AssumedRole& role, std::string_view form) {
  return {.method = "POST",
          .address = role.endpoint.address,
          .path = role.endpoint.path + "/",
          .headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}},
          .body = form};
}

Error refused(const AssumedRole& role, const HttpResponse& answer, const ServiceError& error,
              std::string_view remedy) {
  ErrorKind kind = kind_of_refusal(answer.status, error.code);
  if (kind != ErrorKind::kTargetUnreachable) kind = ErrorKind::kTargetAuthentication;
  return Error(kind,
               {.message = fmt::format("STS does not give the role {}: {}", role.role_arn,
                                       error.message.empty() ? "without a reason" : error.message),
                .remedy = std::string(remedy),
                .vendor_code = error.code.empty() ? fmt::format("HTTP {}", answer.status) : error.code});
}

Credentials credentials_in(const HttpResponse& answer, std::string_view action) {
  if (root_of(answer.body) != fmt::format("{}Response", action)) {
    throw Error(ErrorKind::kTargetUnreachable,
                Error::Parts{.message = "STS answers half, or what STS does not answer",
                             .remedy = "See whether AWS_ENDPOINT_URL_STS names an STS."});
  }
  auto text = [&](std::string_view name) {
    return parse_element(answer.body, fmt::format("{0}Response/{0}Result/Credentials/{1}", action, name));
  };
  Credentials credentials{.access_key_id = text("AccessKeyId"),
                          .secret_access_key = base::Secret(text("SecretAccessKey")),
                          .session_token = base::Secret(text("SessionToken")),
                          .expires = parse_iso_time(text("Expiration"))};
  if (!credentials.access_key_id.empty()) return credentials;
  throw Error(ErrorKind::kTargetAuthentication,
              Error::Parts{.message = "STS gives no credentials: its answer holds no keys",
                           .remedy = "See whether AWS_ENDPOINT_URL_STS names an STS."});
}

}  // namespace

ServiceUrl sts_endpoint(const Environment& environment, const std::string& region) {
  std::string named = environment.sts_url();
  return parse_service_url(named.empty() ? "https://" + environment.host_of("sts", region) : named);
}

Credentials assume_role(const AssumedRole& role, CredentialSource& caller, Http& http,
                        const base::Clock& clock, std::stop_token stop) {
  std::string form = form_encoded({{"Action", "AssumeRole"},
                                   {"RoleArn", role.role_arn},
                                   {"RoleSessionName", role.session_name},
                                   {"Version", std::string(kVersion)}});
  std::int64_t clock_offset = 0;
  for (bool first = true;; first = false) {
    Credentials keys = caller.get(stop);
    HttpRequest request = request_for(role, form);
    sign(request, keys, {.region = role.region, .service = "sts"}, clock.now() + clock_offset);
    HttpResponse answer = http.send(request, stop);
    if (answer.status == 200) return credentials_in(answer, "AssumeRole");

    ServiceError error = parse_error(answer.body);
    bool expired = error.code == "ExpiredToken" || error.code == "ExpiredTokenException";
    if (expired) caller.expired(keys.access_key_id);
    std::optional<base::UnixMicros> time = parse_http_date(answer.header("date"));
    if (time) clock_offset = *time - clock.now();
    bool clock_differs = std::abs(clock_offset) > kClockSkewMaxMicros;
    if (first && (expired || clock_differs)) continue;
    throw refused(role, answer, error,
                  "Let the role trust the credentials that Ferry has (sts:AssumeRole), or leave "
                  "ServiceAccessRoleArn out.");
  }
}

Credentials assume_role_with_web_identity(const AssumedRole& role, const base::Secret& token, Http& http,
                                          std::stop_token stop) {
  std::string form = form_encoded({{"Action", "AssumeRoleWithWebIdentity"},
                                   {"RoleArn", role.role_arn},
                                   {"RoleSessionName", role.session_name},
                                   {"Version", std::string(kVersion)},
                                   {"WebIdentityToken", token.reveal()}});
  HttpResponse answer = http.send(request_for(role, form), std::move(stop));
  if (answer.status == 200) return credentials_in(answer, "AssumeRoleWithWebIdentity");
  throw refused(role, answer, parse_error(answer.body),
                "Let the role that AWS_ROLE_ARN names trust who issued the token in "
                "AWS_WEB_IDENTITY_TOKEN_FILE (sts:AssumeRoleWithWebIdentity).");
}

}  // namespace ferry::aws
