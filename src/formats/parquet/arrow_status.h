#pragma once

#include <arrow/result.h>
#include <arrow/status.h>

#include <string>
#include <utility>

#include "base/error.h"

// For .cc files only: this header brings Arrow's.
namespace ferry::formats {

// What Arrow reports here is a mistake of Ferry's own or the end of memory; what the sink throws does not
// pass through it.
inline void require_ok(const arrow::Status& status) {
  if (!status.ok())
    throw base::Error(base::ErrorKind::kInternal, "Writing Parquet failed: " + status.ToString());
}

template <typename T>
T value_of(arrow::Result<T> result) {
  require_ok(result.status());
  return std::move(result).ValueUnsafe();
}

}  // namespace ferry::formats
