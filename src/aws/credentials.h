#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "aws/environment.h"
#include "aws/http.h"
#include "aws/signature.h"
#include "base/clock.h"

namespace ferry::aws {

// Gives the credentials to sign with, and fetches those that end anew before they do. Thread-safe.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;

  // Throws Error(kTargetAuthentication) naming every place that was looked at, when there are none, or
  // Error(kTargetUnreachable) when the place that has them does not answer. Waits, until a stop, only where
  // another thread fetches them and none are there that hold.
  virtual Credentials get(std::stop_token stop) = 0;
  // The service says that these keys have expired: unless there are others already, the next get() fetches
  // anew.
  virtual void expired(const std::string& access_key_id) = 0;
};

// What the chain uses. The clock outlives it.
struct CredentialContext {
  Environment environment;
  std::shared_ptr<Http> http;  // Asks the container's endpoint and the instance's metadata: without a proxy.
  base::Clock& clock;
  std::shared_ptr<Http> sts_http = http;
};

// The usual places in the usual order: the environment, a web identity's role, the shared files' profile, the
// container's endpoint, the instance's metadata (version 2 only). Where one is set up but wrong, the later
// ones are not asked.
std::unique_ptr<CredentialSource> make_credential_chain(const CredentialContext& context);

struct AssumedRole {
  std::string role_arn;
  std::string session_name;
  ServiceUrl endpoint;  // STS.
  std::string region;
};
// The credentials of a role, asked from STS with those of `caller`. `clock` outlives it.
std::unique_ptr<CredentialSource> make_role_source(AssumedRole role, std::shared_ptr<CredentialSource> caller,
                                                   std::shared_ptr<Http> http, base::Clock& clock);

}  // namespace ferry::aws
