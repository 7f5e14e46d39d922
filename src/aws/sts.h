#pragma once

#include <stop_token>
#include <string>

#include "aws/credentials.h"
#include "aws/environment.h"
#include "aws/http.h"
#include "base/clock.h"

// AWS's Security Token Service, which gives the credentials of a role for a while. The functions throw
// Error(kTargetAuthentication) when it does not give them, and Error(kTargetUnreachable) for what may pass.
namespace ferry::aws {

// What AWS_ENDPOINT_URL_STS names, else AWS's own in the region.
ServiceUrl sts_endpoint(const Environment& environment, const std::string& region);

// Signed with what `caller` has (AWS Security Token Service API Reference, "AssumeRole"). Where the service
// calls that expired, or its clock is another than `clock`, it is asked a second time.
Credentials assume_role(const AssumedRole& role, CredentialSource& caller, Http& http,
                        const base::Clock& clock, std::stop_token stop);

// By a token of an identity provider, unsigned ("AssumeRoleWithWebIdentity").
Credentials assume_role_with_web_identity(const AssumedRole& role, const base::Secret& token, Http& http,
                                          std::stop_token stop);

}  // namespace ferry::aws
