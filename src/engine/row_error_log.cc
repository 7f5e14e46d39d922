#include "engine/row_error_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>

#include "base/error.h"
#include "base/log.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;
using model::ErrorAction;

// The log names the first few rows of a table; the row_errors file has all of them.
constexpr std::int64_t kLoggedRowsMax = 10;

}  // namespace

RowErrorLog::RowErrorLog(std::filesystem::path file, model::ErrorBehavior behavior)
    : file_(std::move(file)), behavior_(behavior) {}

void RowErrorLog::row_error(const model::RowError& error) {
  std::lock_guard lock(mutex_);
  Table& table = tables_[error.table];
  ++table.counts.row_errors;
  if (!out_.is_open()) out_.open(file_, std::ios::app);
  out_ << fmt::format("{:%Y-%m-%dT%H:%M:%SZ}\t{}\t{}\t{}\t{}\n",
                      std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()),
                      model::to_string(error.table), error.key, error.column, error.reason);
  out_.flush();
  if (!out_) {
    throw Error(ErrorKind::kStateUnusable, {.message = fmt::format("cannot write {}", file_.string()),
                                            .remedy = "Free disk space there, or move the state with --state."});
  }
  if (table.counts.row_errors <= kLoggedRowsMax) {
    base::log_warning(base::kTargetLoad, "row error in table {} ({}), column '{}': {}; see {}",
                      model::to_string(error.table), error.key, error.column, error.reason, file_.string());
  }
  act(table, error);
}

void RowErrorLog::act(Table& table, const model::RowError& error) {
  ErrorAction action = behavior_.data_error_policy;
  std::int64_t limit = behavior_.data_error_escalation_count;
  if (limit > 0 && table.counts.row_errors >= limit && action != ErrorAction::kStopTask) {
    action = behavior_.data_error_escalation_policy;
  }
  std::string reason = fmt::format("row error in table {} ({}), column '{}': {}", model::to_string(error.table),
                                   error.key, error.column, error.reason);
  if (action == ErrorAction::kStopTask) {
    throw Error(ErrorKind::kDataError,
                {.message = reason + ", and DataErrorPolicy says STOP_TASK",
                 .remedy = "Mend the row on the source, exclude the table, or choose another DataErrorPolicy."});
  }
  if (action == ErrorAction::kSuspendTable && table.suspended.empty()) {
    table.suspended = reason;
    base::log_error(base::kTablesManager, "table {} is suspended: {}", model::to_string(error.table), error.reason);
  }
}

void RowErrorLog::data_warning(const model::DataWarning& warning) {
  std::lock_guard lock(mutex_);
  Table& table = tables_[warning.table];
  ++table.counts.data_warnings;
  std::string kind = warning.column + ": " + warning.what;
  if (++table.kinds[kind] == 1) {
    base::log_warning(base::kTargetLoad, "table {}, column '{}': {}; further ones are only counted",
                      model::to_string(warning.table), warning.column, warning.what);
  }
}

bool RowErrorLog::is_suspended(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  return found != tables_.end() && !found->second.suspended.empty();
}

std::string RowErrorLog::suspension_reason(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  return found == tables_.end() ? std::string() : found->second.suspended;
}

RowErrorLog::Counts RowErrorLog::counts_of(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  return found == tables_.end() ? Counts{} : found->second.counts;
}

RowErrorLog::Counts RowErrorLog::total() const {
  std::lock_guard lock(mutex_);
  Counts total;
  for (const auto& [name, table] : tables_) {
    total.row_errors += table.counts.row_errors;
    total.data_warnings += table.counts.data_warnings;
  }
  return total;
}

}  // namespace ferry::engine
