#pragma once

#include <memory>
#include <stop_token>

#include "aws/s3_client.h"
#include "connectors/s3/settings.h"

namespace ferry::s3 {

// A client of the bucket, with the process's credentials, region and certificate authorities. Makes no
// connection. Throws Error(kTargetAuthentication) where AWS_PROFILE names no profile, and Error(kTargetTls)
// where a certificate file cannot be read.
std::shared_ptr<aws::S3Client> make_client(const BucketSettings& settings, std::stop_token stop);

}  // namespace ferry::s3
