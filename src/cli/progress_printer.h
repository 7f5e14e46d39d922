#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "engine/replication_task.h"

namespace ferry::cli {

// Prints a task's progress on standard output, a line per event, and its summary. Thread-safe.
class ProgressPrinter final : public engine::TaskObserver {
 public:
  void tables_selected(std::size_t count) override;
  void created_on_source(const std::vector<std::string>& lines) override;
  void table_loaded(const model::TableName& table, std::int64_t rows, double seconds) override;
  void load_finished() override;
  void changes_started(std::string_view position) override;
  void changes_applied(std::int64_t transactions, std::int64_t rows, std::string_view position) override;

  void print_summary(const engine::TaskResult& result);

 private:
  void print(const std::string& line);

  std::mutex mutex_;  // Guards what follows and the order of lines.
  std::int64_t rows_loaded_ = 0;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_changes_line_{};
  std::vector<std::string> created_;
};

}  // namespace ferry::cli
