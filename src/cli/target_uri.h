#pragma once

#include <string_view>

#include "model/endpoint.h"

namespace ferry::cli {

// Reads "file:///directory" or "s3://bucket/folder". A bucket's service is the one that AWS_ENDPOINT_URL_S3
// or AWS_ENDPOINT_URL names, else AWS. Throws Error(kUsage) for another scheme.
model::Endpoint parse_target_uri(std::string_view uri);

}  // namespace ferry::cli
