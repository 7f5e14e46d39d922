#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "aws/http.h"
#include "base/clock.h"
#include "base/secret.h"

namespace ferry::aws {

// What proves to AWS who asks.
struct Credentials {
  std::string access_key_id;
  base::Secret secret_access_key;
  base::Secret session_token = {};               // Empty for keys that last.
  std::optional<base::UnixMicros> expires = {};  // Nothing for keys that last.
};

struct SigningScope {
  std::string region;
  std::string service;  // "s3", "sts"
};

// The SHA-256 of `bytes` in lower-case hex digits.
std::string sha256_hex(std::string_view bytes);

// Signs the request by AWS Signature Version 4 (AWS General Reference, "Signature Version 4 signing
// process"): adds x-amz-date, x-amz-security-token where the credentials have one, and authorization. All
// headers that are there are signed. A header x-amz-content-sha256, which S3 requires, gives the body's
// digest; without it the body is read.
void sign(HttpRequest& request, const Credentials& credentials, const SigningScope& scope,
          base::UnixMicros now);

// "20150830T123600Z"
std::string signing_time(base::UnixMicros time);
// The instant of an HTTP Date header ("Sun, 30 Aug 2015 12:36:00 GMT"); nothing for other text.
std::optional<base::UnixMicros> parse_http_date(std::string_view text);
// "2015-08-30T12:36:00Z", with or without a fraction of a second; nothing for other text.
std::optional<base::UnixMicros> parse_iso_time(const std::string& text);

}  // namespace ferry::aws
