#pragma once

#include <string>
#include <string_view>

#include "model/endpoint.h"

namespace ferry::cli {

// The same place in the same words, by which a task's state is found again: without empty parts and ".". A
// ".." stays, because it may follow a link.
std::string normal_target_uri(std::string_view uri);

// Reads "s3://bucket/folder"; anything else, such as "file:///directory", is the endpoint's URL, which the
// connector judges. A bucket's service is the one that AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL names, else
// AWS. Throws Error(kUsage) where no bucket is named.
model::Endpoint parse_target_uri(std::string_view uri);

}  // namespace ferry::cli
