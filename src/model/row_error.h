#pragma once

#include <cstdint>
#include <string>

#include "model/table_version.h"

namespace ferry::model {

// A row that cannot be carried over. It is counted, logged and handled under the task's DataErrorPolicy.
struct RowError {
  TableName table;  // On the target.
  std::string key;  // The row's key columns as "name=value, …", or its place in the load for a keyless table.
  std::string column;  // Empty where the whole row is refused.
  std::string reason;  // Without the value.
};

// A value that was carried over in another form, because a DMS setting or a certain DMS rule says so.
struct DataWarning {
  TableName table;  // On the target.
  std::string column;
  std::string what;  // One of few texts, so that warnings of one kind can be counted together.
};

// Who hears of bad rows. Any thread of a task may call it.
class RowErrorSink {
 public:
  virtual ~RowErrorSink() = default;

  // The caller leaves the row out and goes on. Throws base::Error when the task's policy says to stop.
  virtual void row_error(const RowError& error) = 0;
  virtual void data_warning(const DataWarning& warning) = 0;
};

}  // namespace ferry::model
