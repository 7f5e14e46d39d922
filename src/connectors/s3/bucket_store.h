#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "aws/s3_client.h"
#include "connectors/s3/object_store.h"

namespace ferry::s3 {

// Objects of a bucket. What is smaller than a part (5 MiB) stays in memory until it is one PutObject; a
// larger object whose key is known goes out part by part while it is written, with two parts under way at
// most (four of all objects), and one whose key is not known waits in a nameless file of the folder
// `scratch`. Objects live no longer than the store. No object is ever read back. `folder` is empty or ends
// with '/': what all keys begin with.
std::unique_ptr<ObjectStore> make_bucket_store(std::shared_ptr<aws::S3Client> client,
                                               std::filesystem::path scratch, std::string folder);

}  // namespace ferry::s3
