#pragma once

#include <string>

namespace ferry::model {

// One tag of an object in a bucket.
struct ObjectTag {
  std::string key;
  std::string value;

  bool operator==(const ObjectTag&) const = default;
};

}  // namespace ferry::model
