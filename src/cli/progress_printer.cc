#include "cli/progress_printer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "base/one_line.h"
#include "base/passwords.h"

namespace ferry::cli {
namespace {

constexpr double kMegabyte = 1 << 20;
// Between two lines about applied changes.
constexpr std::chrono::seconds kChangesLineInterval{5};

// 1234567 → "1,234,567".
std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string_view text_of(engine::TaskEnd end) {
  switch (end) {
    case engine::TaskEnd::kFullLoadFinished: return "The full load is finished.";
    case engine::TaskEnd::kAlreadyFinished:
      return "The full load was finished by an earlier run; nothing was done. --restart loads anew.";
    case engine::TaskEnd::kStopped: return "Stopped; the same command goes on from here.";
    case engine::TaskEnd::kAfterFullLoad:
      return "Stopped after the full load (STOPPED_AFTER_FULL_LOAD), as StopTaskCachedChangesNotApplied "
             "says; "
             "the same command goes on from here.";
    case engine::TaskEnd::kAfterCachedChanges:
      return "Stopped after the cached changes (STOPPED_AFTER_CACHED_EVENTS), as "
             "StopTaskCachedChangesApplied says; the same command goes on from here.";
  }
  return "";
}

}  // namespace

void ProgressPrinter::print(const std::string& line) {
  std::fputs((base::one_line(base::hide_password(line)) + '\n').c_str(), stdout);
  std::fflush(stdout);
}

void ProgressPrinter::tables_selected(std::size_t count) {
  std::lock_guard lock(mutex_);
  print(fmt::format("{} {} selected", grouped(static_cast<std::int64_t>(count)),
                    count == 1 ? "table" : "tables"));
}

void ProgressPrinter::created_on_source(const std::vector<std::string>& lines) {
  std::lock_guard lock(mutex_);
  if (lines == created_) return;
  created_ = lines;
  print("On the source there are now, until `ferry clean` removes them:");
  for (const std::string& line : lines) print("  " + line);
}

void ProgressPrinter::table_loaded(const model::TableName& table, std::int64_t rows, double seconds) {
  std::lock_guard lock(mutex_);
  loading_.erase(table);
  rows_loaded_ += rows;
  double rate = static_cast<double>(rows) / std::max(seconds, 1e-3);
  print(fmt::format("loaded   {:<40} {:>14} rows {:>8.2f} s {:>12} rows/s", model::to_string(table),
                    grouped(rows), seconds, grouped(static_cast<std::int64_t>(rate))));
}

void ProgressPrinter::table_load_started(const model::TableVersion& table, std::int64_t rows_estimate) {
  std::lock_guard lock(mutex_);
  loading_[table.name] = {.rows_estimate = rows_estimate, .said = std::chrono::steady_clock::now()};
}

void ProgressPrinter::table_rows_loaded(const model::TableName& table, std::int64_t rows) {
  std::lock_guard lock(mutex_);
  Loading& loading = loading_[table];
  auto now = std::chrono::steady_clock::now();
  if (now - loading.said < loading_line_interval_) return;
  loading.said = now;
  std::string line = fmt::format("loading  {:<40} {:>14} rows", model::to_string(table), grouped(rows));
  if (loading.rows_estimate > 0) line += fmt::format(" of about {}", grouped(loading.rows_estimate));
  print(line);
}

void ProgressPrinter::load_finished(std::int64_t log_bytes_kept) {
  std::lock_guard lock(mutex_);
  std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started_;
  std::string line = fmt::format("load finished: {} rows in {:.2f} s", grouped(rows_loaded_), taken.count());
  if (log_bytes_kept >= 0) {
    line += fmt::format("; the source keeps {:.1f} MB of log written meanwhile",
                        static_cast<double>(log_bytes_kept) / kMegabyte);
  }
  print(line);
}

void ProgressPrinter::changes_started(std::string_view position) {
  std::lock_guard lock(mutex_);
  print(fmt::format("following changes from {}", position));
}

void ProgressPrinter::changes_applied(std::int64_t transactions, std::int64_t rows,
                                      std::string_view position) {
  std::lock_guard lock(mutex_);
  auto now = std::chrono::steady_clock::now();
  if (rows == 0 || now - last_changes_line_ < kChangesLineInterval) return;
  last_changes_line_ = now;
  print(fmt::format("applied  {} changes of {} transactions, through {}", grouped(rows),
                    grouped(transactions), position));
}

void ProgressPrinter::print_summary(const engine::TaskResult& result) {
  std::lock_guard lock(mutex_);
  print("");
  print(fmt::format("{:<40} {:>14} {:>10} {:>10} {:>10} {:>6} {:>8} {:>8}", "table", "loaded", "inserts",
                    "updates", "deletes", "ddls", "errors", "warnings"));
  for (const engine::TableResult& table : result.tables) {
    const engine::TableStatistics& counts = table.statistics;
    print(fmt::format(
        "{:<40} {:>14} {:>10} {:>10} {:>10} {:>6} {:>8} {:>8}{}", model::to_string(table.source),
        grouped(table.rows_loaded), grouped(counts.inserts), grouped(counts.updates), grouped(counts.deletes),
        grouped(counts.ddls), grouped(counts.full_load_error_rows + counts.change_error_rows),
        grouped(counts.data_warnings), table.phase == engine::TablePhase::kError ? "  suspended" : ""));
  }
  std::size_t suspended = 0;
  for (const engine::TableResult& table : result.tables) {
    if (table.phase != engine::TablePhase::kError || ++suspended > kSuspendedNamedMax) continue;
    print(fmt::format("Table {} is suspended: {}", model::to_string(table.source), table.error));
  }
  if (suspended > kSuspendedNamedMax) {
    print(fmt::format("{} more tables are suspended; {} tells why.", suspended - kSuspendedNamedMax,
                      log_.string()));
  }
  if (result.row_errors > 0) {
    print(fmt::format("{} rows could not be carried over; {} names each.", grouped(result.row_errors),
                      result.row_errors_file));
  }
  if (numerics_ == Numerics::kAsText && !result.unconstrained_numerics.empty()) {
    print(fmt::format("Columns of type numeric without a precision are text in Parquet: {}.",
                      fmt::join(result.unconstrained_numerics, ", ")));
  }
  if (result.data_warnings > 0) {
    print(fmt::format("{} values were carried over in another form or cut short; {} says which.",
                      grouped(result.data_warnings), log_.string()));
  }
  print(std::string(text_of(result.end)));
}

}  // namespace ferry::cli
