#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "aws/environment.h"
#include "aws/s3_client.h"
#include "connectors/s3/settings.h"

namespace ferry::s3 {

// A client of the bucket, with the process's credentials, region and certificate authorities. Makes no
// connection. Throws Error(kTargetAuthentication) where AWS_PROFILE names no profile, Error(kTargetTls) where
// a certificate file cannot be read, and what bucket_url() throws.
std::shared_ptr<aws::S3Client> make_client(const BucketSettings& settings, std::stop_token stop);

// Where the bucket is: what the settings say, else AWS. Throws Error(kUnsupported) where the profile may say
// otherwise.
std::string bucket_url(const aws::Environment& environment, const BucketSettings& settings,
                       const std::string& region);

// Whether there is an STS that gives roles: one that is named, or AWS's own for a bucket of AWS.
bool has_sts(const aws::Environment& environment, const aws::Bucket& bucket);

}  // namespace ferry::s3
