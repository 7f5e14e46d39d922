#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "engine/task_observer.h"
#include "model/row_error.h"
#include "model/task_settings.h"

namespace ferry::engine {

// Counts bad rows per target table, logs them, writes them to the task's row_errors file and acts as ErrorBehavior
// says (AWS DMS user guide, "Error handling task settings"). A line of the file has the time, the table, the key, the
// column and the reason, separated by tabs; never a value outside the key. Thread-safe.
class RowErrorLog final : public model::RowErrorSink {
 public:
  RowErrorLog(std::filesystem::path file, model::ErrorBehavior behavior);

  // Throws Error(kDataError) when the policy is STOP_TASK.
  void row_error(const model::RowError& error) override;
  void data_warning(const model::DataWarning& warning) override;

  // DataErrorPolicy or its escalation has suspended the table: the caller leaves it alone from now on.
  bool is_suspended(const model::TableName& table) const;
  std::string suspension_reason(const model::TableName& table) const;

  struct Counts {
    std::int64_t row_errors = 0;
    std::int64_t data_warnings = 0;
  };
  Counts counts_of(const model::TableName& table) const;
  Counts total() const;
  const std::filesystem::path& file() const { return file_; }

 private:
  struct Table {
    Counts counts;
    std::string suspended;                      // The reason; empty = not suspended.
    std::map<std::string, std::int64_t> kinds;  // Warnings by "column: what".
  };

  void act(Table& table, const model::RowError& error);

  const std::filesystem::path file_;
  const model::ErrorBehavior behavior_;
  mutable std::mutex mutex_;  // Guards what follows.
  std::map<model::TableName, Table> tables_;
  std::ofstream out_;
};

}  // namespace ferry::engine
