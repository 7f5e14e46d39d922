#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::model {

// DMS's ReplicationTaskSettings. The members below have DMS's defaults, and this is the one place that says
// so. Units are in the names: _kb, _mb, _s (seconds), _min (minutes).

enum class TargetTablePrepMode : std::uint8_t { kDoNothing, kDropAndCreate, kTruncateBeforeLoad };

// What is done about an error; each policy allows some of them.
enum class ErrorAction : std::uint8_t {
  kIgnore,
  kIgnoreRecord,
  kLogError,
  kSuspendTable,
  kStopTask,
  kInsertRecord,
  kUpdateRecord,
};

std::string_view to_string(TargetTablePrepMode mode);  // "DROP_AND_CREATE"
std::string_view to_string(ErrorAction action);        // "SUSPEND_TABLE"

struct TargetMetadata {
  std::string target_schema;
  bool support_lobs = true;
  bool full_lob_mode = false;
  std::int64_t lob_chunk_size_kb = 64;
  bool limited_size_lob_mode = true;
  std::int64_t lob_max_size_kb = 32;
  std::int64_t inline_lob_max_size_kb = 0;
  std::int64_t load_max_file_size_kb = 0;
  std::int64_t parallel_load_threads = 0;
  std::int64_t parallel_load_buffer_size = 0;
  std::int64_t parallel_load_queues_per_thread = 0;
  std::int64_t parallel_apply_threads = 0;
  std::int64_t parallel_apply_buffer_size = 0;
  std::int64_t parallel_apply_queues_per_thread = 0;
  bool batch_apply_enabled = false;
  bool task_recovery_table_enabled = false;
};

struct FullLoadSettings {
  TargetTablePrepMode target_table_prep_mode = TargetTablePrepMode::kDropAndCreate;
  bool create_pk_after_full_load = false;
  bool stop_task_cached_changes_applied = false;
  bool stop_task_cached_changes_not_applied = false;
  std::int64_t max_full_load_sub_tasks = 8;
  std::int64_t transaction_consistency_timeout_s = 600;
  std::int64_t commit_rate = 10000;
};

struct LogComponent {
  std::string id;        // "SOURCE_UNLOAD"
  std::string severity;  // "LOGGER_SEVERITY_DEFAULT"
};

struct Logging {
  bool enable_logging = false;
  bool enable_log_context = false;
  std::vector<LogComponent> components;  // Those the document gives; all others are at the default severity.
};

struct ControlTablesSettings {
  std::string control_schema;
  std::int64_t history_timeslot_min = 5;
  bool history_table_enabled = false;
  bool suspended_tables_table_enabled = false;
  bool status_table_enabled = false;
  bool full_load_exception_table_enabled = false;
};

struct StreamBufferSettings {
  std::int64_t stream_buffer_count = 3;
  std::int64_t stream_buffer_size_mb = 8;
  std::int64_t ctrl_stream_buffer_size_mb = 5;
};

struct ChangeProcessingDdlHandlingPolicy {
  bool handle_source_table_dropped = true;
  bool handle_source_table_truncated = true;
  bool handle_source_table_altered = true;
};

struct ErrorBehavior {
  ErrorAction data_error_policy = ErrorAction::kLogError;
  ErrorAction data_truncation_error_policy = ErrorAction::kLogError;
  ErrorAction data_masking_error_policy = ErrorAction::kStopTask;
  ErrorAction data_error_escalation_policy = ErrorAction::kSuspendTable;
  std::int64_t data_error_escalation_count = 0;  // 0 = no escalation, as for the two counts below.
  ErrorAction event_error_policy = ErrorAction::kIgnore;
  ErrorAction table_error_policy = ErrorAction::kSuspendTable;
  ErrorAction table_error_escalation_policy = ErrorAction::kStopTask;
  std::int64_t table_error_escalation_count = 0;
  std::int64_t recoverable_error_count = -1;  // -1 = by the phase, see recovery_schedule.h.
  std::int64_t recoverable_error_interval_s = 5;
  bool recoverable_error_throttling = true;
  std::int64_t recoverable_error_throttling_max_s = 1800;
  bool recoverable_error_stop_retry_after_throttling_max = true;
  ErrorAction apply_error_delete_policy = ErrorAction::kIgnoreRecord;
  ErrorAction apply_error_insert_policy = ErrorAction::kLogError;
  ErrorAction apply_error_update_policy = ErrorAction::kLogError;
  ErrorAction apply_error_escalation_policy = ErrorAction::kLogError;
  std::int64_t apply_error_escalation_count = 0;
  bool apply_error_fail_on_truncation_ddl = false;
  bool full_load_ignore_conflicts = true;
  bool fail_on_transaction_consistency_breached = false;
  bool fail_on_no_tables_captured = true;
};

struct ChangeProcessingTuning {
  bool batch_apply_preserve_transaction = true;
  std::int64_t batch_apply_timeout_min_s = 1;
  std::int64_t batch_apply_timeout_max_s = 30;
  std::int64_t batch_apply_memory_limit_mb = 500;
  std::int64_t batch_split_size = 0;
  std::int64_t min_transaction_size = 1000;
  std::int64_t commit_timeout_s = 1;
  std::int64_t memory_limit_total_mb = 1024;
  std::int64_t memory_keep_time_s = 60;
  std::int64_t statement_cache_size = 50;
  std::int64_t recovery_timeout_min = -1;
};

// Sections that are kept as the document's JSON text; "null" where they are not given.
struct StoredSections {
  std::string time_travel = "null";  // TTSettings
  std::string post_processing_rules = "null";
  std::string character_set = "null";
  std::string loopback_prevention = "null";
  std::string before_image = "null";
  std::string validation = "null";
  std::string resync = "null";
};

// The settings of one task: DMS's defaults with the user's document laid over them. A value; any thread.
struct TaskSettings {
  TargetMetadata target_metadata;
  FullLoadSettings full_load;
  Logging logging;
  ControlTablesSettings control_tables;
  StreamBufferSettings stream_buffer;
  ChangeProcessingDdlHandlingPolicy ddl_handling;
  ErrorBehavior error_behavior;
  ChangeProcessingTuning tuning;
  StoredSections stored;
  bool fail_task_when_clean_task_resource_failed = false;

  // Whether the user's own document gives the setting, be it with the default: the loss rule depends on it.
  // `path` is "FullLoadSettings.TargetTablePrepMode", or "TTSettings" for a section kept as text. A null in
  // the document names nothing.
  bool named(std::string_view path) const { return named_paths.contains(path); }

  std::set<std::string, std::less<>> named_paths;
};

enum class UnknownKeys : std::uint8_t {
  kRefuse,  // Throw Error(kSettingUnknown).
  kKeep,    // Let them through without effect, as AWS does.
};

// Reads a settings document. Names of sections and keys match in any case; where one object spells a key in
// two ways, DMS's own spelling counts. Throws Error(kDocumentInvalid) naming path, value and what is allowed,
// Error(kSettingUnknown), or Error(kSettingConflict).
TaskSettings parse_task_settings(std::string_view json, UnknownKeys unknown_keys);

// The expanded document, as DMS's Describe calls show it: compact JSON in DMS's order.
std::string task_settings_json(const TaskSettings& given);
std::string default_task_settings_json();

// A setting that the user's document names and that has no effect in this version of Ferry.
struct StoredOnlySetting {
  std::string path;
  bool
      is_default;  // Named with DMS's default: nothing else would happen if it had an effect, but for losses.
};
std::vector<StoredOnlySetting> stored_only_settings(const TaskSettings& given);

// "Path=JSON" for each named setting whose change between two runs of a task would leave a target half in one
// form and half in another. Sorted.
std::vector<std::string> settings_fixed_between_runs(const TaskSettings& given);

}  // namespace ferry::model
