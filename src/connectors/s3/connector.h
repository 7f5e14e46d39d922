#pragma once

#include <memory>

#include "connector/connector.h"

namespace ferry::s3 {

// Files in DMS's S3 layout, in plain folders. A target only.
std::unique_ptr<connector::Connector> make_s3_connector();

}  // namespace ferry::s3
