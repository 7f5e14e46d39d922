#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "engine/replication_task.h"

namespace ferry::cli {

// Prints a task's progress on standard output, a line per event, and its summary. Thread-safe.
class ProgressPrinter final : public engine::TaskObserver {
 public:
  // What the summary says of a NUMERIC without precision: Parquet has no type for it.
  enum class Numerics : std::uint8_t { kAsTheyAre, kAsText };
  // Of tables that have failed so many are named with the reason; the log names all.
  static constexpr std::size_t kSuspendedNamedMax = 5;
  // A table whose load takes longer gets a line this often.
  static constexpr std::chrono::seconds kLoadingLineInterval{10};

  // `log` is the task's log, which the summary refers to.
  ProgressPrinter(Numerics numerics, std::filesystem::path log,
                  std::chrono::seconds loading_line_interval = kLoadingLineInterval)
      : numerics_(numerics), log_(std::move(log)), loading_line_interval_(loading_line_interval) {}

  void tables_selected(std::size_t count) override;
  void created_on_source(const std::vector<std::string>& lines) override;
  void table_loaded(const model::TableName& table, std::int64_t rows, double seconds) override;
  void table_load_started(const model::TableVersion& table, std::int64_t rows_estimate) override;
  void table_rows_loaded(const model::TableName& table, std::int64_t rows) override;
  void load_finished(std::int64_t log_bytes_kept) override;
  void changes_started(std::string_view position) override;
  void changes_applied(std::int64_t transactions, std::int64_t rows, std::string_view position) override;

  void print_summary(const engine::TaskResult& result);

  // Any line on standard output.
  static void print(const std::string& line);

 private:
  struct Loading {
    std::int64_t rows_estimate = -1;
    std::chrono::steady_clock::time_point said;
  };

  const Numerics numerics_;
  const std::filesystem::path log_;
  const std::chrono::seconds loading_line_interval_;
  std::mutex mutex_;  // Guards what follows and the order of lines.
  std::int64_t rows_loaded_ = 0;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_changes_line_{};
  std::map<model::TableName, Loading> loading_;
  std::vector<std::string> created_;
};

}  // namespace ferry::cli
