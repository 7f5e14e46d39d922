#include "engine/row_error_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/one_line.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;
using model::ErrorAction;

// The log names the first few rows of a table; the row_errors file has all of them.
constexpr std::int64_t kLoggedRowsMax = 10;

// A key is the source's own text; as a field of a line it must not end the field or the line, and it can be
// read back.
std::string as_field(std::string_view text) {
  std::string field;
  for (char c : text) {
    if (c == '\\') field += c;
    field += c;
  }
  return base::one_line(field);
}

void count(ChangeCounts& counts, model::ChangeKind kind) {
  if (kind == model::ChangeKind::kInsert) ++counts.inserts;
  if (kind == model::ChangeKind::kUpdate) ++counts.updates;
  if (kind == model::ChangeKind::kDelete) ++counts.deletes;
}

}  // namespace

RowErrorLog::RowErrorLog(TaskState& state, std::filesystem::path file, model::ErrorBehavior behavior)
    : state_(state), file_(std::move(file)), behavior_(behavior) {
  for (auto& [target, counts] : state.row_counts()) tables_[target].counts = std::move(counts);
}

void RowErrorLog::Loads::row_error(const model::RowError& error) {
  std::lock_guard lock(log_.mutex_);
  Table& table = log_.tables_[error.table];
  ++table.counts.load_errors;
  log_.write(table, error);
  log_.act(table, error);
}

void RowErrorLog::Loads::data_warning(const model::DataWarning& warning) {
  std::lock_guard lock(log_.mutex_);
  Table& table = log_.tables_[warning.table];
  ++table.counts.load_warnings;
  log_.warn(table, warning);
}

void RowErrorLog::Changes::row_error(const model::RowError& error) {
  std::lock_guard lock(log_.mutex_);
  bool is_refused_only_now = !std::exchange(log_.change_is_refused_, true);
  Table& table = log_.tables_[error.table];
  Report report = log_.place_of_next(table);
  if (report == Report::kNew) {
    ++table.counts.change_errors;
    if (is_refused_only_now) count(table.counts.refused, log_.change_kind_);
    log_.note_change(table, error.table);
    log_.write(table, error);
  }
  // Had one before the last suspended the table, there would be no later one.
  if (report != Report::kCountedBefore) log_.act(table, error);
}

void RowErrorLog::Changes::data_warning(const model::DataWarning& warning) {
  std::lock_guard lock(log_.mutex_);
  Table& table = log_.tables_[warning.table];
  if (log_.place_of_next(table) != Report::kNew) return;
  ++table.counts.change_warnings;
  log_.note_change(table, warning.table);
  log_.warn(table, warning);
}

RowErrorLog::Report RowErrorLog::place_of_next(const Table& table) {
  if (table.counts.through && next_report_ <= *table.counts.through) {
    bool is_last = next_report_ == *table.counts.through;
    ++next_report_.report;
    return is_last ? Report::kLastCounted : Report::kCountedBefore;
  }
  return Report::kNew;
}

void RowErrorLog::note_change(Table& table, const model::TableName& name) {
  table.counts.through = next_report_;
  ++next_report_.report;
  if (store_each_report_) return state_.set_row_counts(name, table.counts);
  state_.note_row_counts(name, table.counts);
}

void RowErrorLog::begin_load(const model::TableName& table) {
  std::lock_guard lock(mutex_);
  Table& begun = tables_[table];
  begun.counts.load_errors = 0;
  begun.counts.load_warnings = 0;
  if (begun.suspended.empty()) return;
  begun.suspended.clear();
  ++suspensions_;
}

void RowErrorLog::store_load(const model::TableName& table) {
  state_.set_row_counts(table, counts_of(table));
}

void RowErrorLog::begin_transaction(const model::StreamPosition& commit) {
  next_report_ = {.change = {.commit = commit, .ordinal = 0}, .report = 0};
}

void RowErrorLog::begin_change(std::uint64_t ordinal, model::ChangeKind kind) {
  change_kind_ = kind;
  next_report_.change.ordinal = ordinal;
  next_report_.report = 0;
  change_is_refused_ = false;
}

void RowErrorLog::write(Table& table, const model::RowError& error) {
  if (!out_.is_open()) out_.open(file_, std::ios::app);
  out_ << fmt::format("{:%Y-%m-%dT%H:%M:%SZ}\t{}\t{}\t{}\t{}\n",
                      std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()),
                      as_field(model::to_string(error.table)), as_field(error.key), as_field(error.column),
                      as_field(error.reason));
  out_.flush();
  if (!out_) {
    throw Error(ErrorKind::kStateUnusable,
                {.message = fmt::format("cannot write {}", file_.string()),
                 .remedy = "Free disk space there, or move the state with --state."});
  }
  if (table.counts.load_errors + table.counts.change_errors <= kLoggedRowsMax) {
    base::log_for_table(base::Severity::kWarning, base::kTargetLoad,
                        "row error in table {} ({}), column '{}': {} (see {})", model::to_string(error.table),
                        error.key, error.column, error.reason, file_.string());
  }
}

void RowErrorLog::act(Table& table, const model::RowError& error) {
  ErrorAction action = behavior_.data_error_policy;
  std::int64_t limit = behavior_.data_error_escalation_count;
  if (limit > 0 && table.counts.load_errors + table.counts.change_errors >= limit &&
      action != ErrorAction::kStopTask) {
    action = behavior_.data_error_escalation_policy;
  }
  std::string reason = fmt::format("row error in table {} ({}), column '{}': {}",
                                   model::to_string(error.table), error.key, error.column, error.reason);
  if (action == ErrorAction::kStopTask) {
    throw Error(
        ErrorKind::kDataError,
        {.message = reason + ", and DataErrorPolicy says STOP_TASK",
         .remedy = "Mend the row on the source, exclude the table, or choose another DataErrorPolicy."});
  }
  if (action == ErrorAction::kSuspendTable && table.suspended.empty()) {
    table.suspended = reason;
    ++suspensions_;
    base::log_for_table(base::Severity::kError, base::kTablesManager, "table {} is suspended: {}",
                        model::to_string(error.table), error.reason);
  }
}

void RowErrorLog::warn(Table& table, const model::DataWarning& warning) {
  std::string kind = warning.column + ": " + warning.what;
  if (++table.kinds[kind] == 1) {
    base::log_for_table(base::Severity::kWarning, base::kTargetLoad,
                        "table {}, column '{}': {} (further ones are only counted)",
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

RowCounts RowErrorLog::counts_of(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  return found == tables_.end() ? RowCounts{} : found->second.counts;
}

}  // namespace ferry::engine
