#pragma once

#include <string>

#include "base/error.h"

namespace ferry::connector {

// One thing a connector found out about its endpoint. Connection tests, `check` and assessments only print
// it.
struct Prerequisite {
  std::string name;  // "wal_level"
  bool met = false;
  bool required = true;  // False: the work goes on, with a warning.
  std::string seen;      // "replica"
  std::string remedy;    // Empty when met.
  // The error a task ends with when a required one is not met.
  base::ErrorKind kind = base::ErrorKind::kSourceConfiguration;
};

}  // namespace ferry::connector
