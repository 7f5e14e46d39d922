#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/table_version.h"

namespace ferry::engine {

// What one table has gone through since the task's start; DMS's DescribeTableStatistics has the same counts.
struct TableStatistics {
  std::int64_t full_load_rows = 0;
  std::int64_t full_load_error_rows = 0;
  std::int64_t inserts = 0;
  std::int64_t updates = 0;
  std::int64_t deletes = 0;
  std::int64_t ddls = 0;
  std::int64_t change_error_rows = 0;
  std::int64_t data_warnings = 0;  // Values carried in another form, as a setting or a DMS rule asks.
};

// Who is told how a task goes on: a terminal, later the control plane. Any thread of the task may call it; it
// must be quick and must not throw.
class TaskObserver {
 public:
  virtual ~TaskObserver() = default;

  virtual void tables_selected(std::size_t /*count*/) {}
  // Lines for a person: what the task made on the source.
  virtual void created_on_source(const std::vector<std::string>& /*lines*/) {}
  virtual void table_load_started(const model::TableVersion& /*table*/, std::int64_t /*rows_estimate*/) {}
  // After each batch, with the rows of the table's slice so far.
  virtual void table_rows_loaded(const model::TableName& /*table*/, std::int64_t /*rows*/) {}
  virtual void table_loaded(const model::TableName& /*table*/, std::int64_t /*rows*/, double /*seconds*/) {}
  virtual void table_failed(const model::TableName& /*table*/, std::string_view /*error*/) {}
  // With the bytes of log that the source has written since the start and keeps; below 0 where that is not
  // known.
  virtual void load_finished(std::int64_t /*log_bytes_kept*/) {}
  virtual void changes_started(std::string_view /*position*/) {}
  // After each stored checkpoint: rows and transactions applied in this run so far.
  virtual void changes_applied(std::int64_t /*transactions*/, std::int64_t /*rows*/,
                               std::string_view /*position*/) {}
  virtual void retrying(std::string_view /*error*/, std::int64_t /*seconds*/) {}
};

}  // namespace ferry::engine
