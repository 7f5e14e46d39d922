#include "model/task_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <limits>
#include <span>
#include <variant>

#include "base/error.h"
#include "model/ascii_text.h"
#include "model/json_document.h"

namespace ferry::model {
namespace {

using base::Error;
using base::ErrorKind;
using enum ErrorAction;

// Whether a setting does anything in this version.
enum class Effect : std::uint8_t { kImplemented, kStoredOnly };
constexpr auto kImplemented = Effect::kImplemented;
constexpr auto kStoredOnly = Effect::kStoredOnly;

// Whether a task that has run may go on with another value.
enum class BetweenRuns : std::uint8_t { kFree, kFixed };
constexpr auto kFixed = BetweenRuns::kFixed;

constexpr std::int64_t kCountMax = std::numeric_limits<std::int32_t>::max();

constexpr std::array<std::string_view, 3> kPrepModeNames = {"DO_NOTHING", "DROP_AND_CREATE",
                                                            "TRUNCATE_BEFORE_LOAD"};
constexpr std::array<std::string_view, 7> kActionNames = {
    "IGNORE", "IGNORE_RECORD", "LOG_ERROR", "SUSPEND_TABLE", "STOP_TASK", "INSERT_RECORD", "UPDATE_RECORD"};

// Which actions each policy allows; the order is that of messages.
constexpr std::array kDataActions = {kLogError, kIgnoreRecord, kSuspendTable, kStopTask};
constexpr std::array kEventActions = {kIgnore, kStopTask};
constexpr std::array kTableActions = {kSuspendTable, kStopTask};
constexpr std::array kStopOnly = {kStopTask};
constexpr std::array kEscalations = {kLogError, kSuspendTable, kStopTask};
constexpr std::array kInsertActions = {kLogError, kIgnoreRecord, kSuspendTable, kStopTask, kInsertRecord};
constexpr std::array kUpdateActions = {kLogError, kIgnoreRecord, kSuspendTable, kStopTask, kUpdateRecord};

struct Flag {
  bool& (*at)(TaskSettings&);
};
struct Text {
  std::string& (*at)(TaskSettings&);
};
struct Integer {
  std::int64_t& (*at)(TaskSettings&);
  std::int64_t min;
  std::int64_t max;
};
struct Action {
  ErrorAction& (*at)(TaskSettings&);
  std::span<const ErrorAction> allowed;
};
struct PrepMode {
  TargetTablePrepMode& (*at)(TaskSettings&);
};

// One setting: its name, where its value is, what it may be, what becomes of it. Its default is that of
// TaskSettings.
struct Setting {
  std::string_view section;
  std::string_view key;
  std::variant<Flag, Text, Integer, Action, PrepMode> value;
  Effect effect;
  BetweenRuns between_runs = BetweenRuns::kFree;
};

template <auto kSection, auto kMember>
constexpr auto& at(TaskSettings& settings) {
  return settings.*kSection.*kMember;
}

using S = TaskSettings;
using Metadata = TargetMetadata;
using Load = FullLoadSettings;
using Log = Logging;
using Control = ControlTablesSettings;
using Buffer = StreamBufferSettings;
using Ddl = ChangeProcessingDdlHandlingPolicy;
using Errors = ErrorBehavior;
using Tuning = ChangeProcessingTuning;

constexpr std::string_view kTargetMetadata = "TargetMetadata";
constexpr std::string_view kFullLoad = "FullLoadSettings";
constexpr std::string_view kLogging = "Logging";
constexpr std::string_view kControlTables = "ControlTablesSettings";
constexpr std::string_view kStreamBuffer = "StreamBufferSettings";
constexpr std::string_view kDdlHandling = "ChangeProcessingDdlHandlingPolicy";
constexpr std::string_view kErrorBehavior = "ErrorBehavior";
constexpr std::string_view kTuning = "ChangeProcessingTuning";
constexpr std::string_view kTopLevel = "";

// Every typed setting, sections and keys in the order in which DMS prints them.
constexpr Setting kSettings[] = {
    // clang-format off
    {kTargetMetadata, "TargetSchema", Text{at<&S::target_metadata, &Metadata::target_schema>}, kStoredOnly, kFixed},
    {kTargetMetadata, "SupportLobs", Flag{at<&S::target_metadata, &Metadata::support_lobs>}, kImplemented, kFixed},
    {kTargetMetadata, "FullLobMode", Flag{at<&S::target_metadata, &Metadata::full_lob_mode>}, kStoredOnly, kFixed},
    {kTargetMetadata, "LobChunkSize", Integer{at<&S::target_metadata, &Metadata::lob_chunk_size_kb>, 0, kCountMax}, kStoredOnly},
    {kTargetMetadata, "LimitedSizeLobMode", Flag{at<&S::target_metadata, &Metadata::limited_size_lob_mode>}, kImplemented, kFixed},
    {kTargetMetadata, "LobMaxSize", Integer{at<&S::target_metadata, &Metadata::lob_max_size_kb>, 0, 102400}, kImplemented, kFixed},
    {kTargetMetadata, "InlineLobMaxSize", Integer{at<&S::target_metadata, &Metadata::inline_lob_max_size_kb>, 0, 102400}, kStoredOnly},
    {kTargetMetadata, "LoadMaxFileSize", Integer{at<&S::target_metadata, &Metadata::load_max_file_size_kb>, 0, 100000}, kStoredOnly},
    {kTargetMetadata, "ParallelLoadThreads", Integer{at<&S::target_metadata, &Metadata::parallel_load_threads>, 0, 200}, kStoredOnly},
    {kTargetMetadata, "ParallelLoadBufferSize", Integer{at<&S::target_metadata, &Metadata::parallel_load_buffer_size>, 0, 1000}, kStoredOnly},
    {kTargetMetadata, "ParallelLoadQueuesPerThread", Integer{at<&S::target_metadata, &Metadata::parallel_load_queues_per_thread>, 0, 512}, kStoredOnly},
    {kTargetMetadata, "ParallelApplyThreads", Integer{at<&S::target_metadata, &Metadata::parallel_apply_threads>, 0, 32}, kStoredOnly},
    {kTargetMetadata, "ParallelApplyBufferSize", Integer{at<&S::target_metadata, &Metadata::parallel_apply_buffer_size>, 0, 1000}, kStoredOnly},
    {kTargetMetadata, "ParallelApplyQueuesPerThread", Integer{at<&S::target_metadata, &Metadata::parallel_apply_queues_per_thread>, 0, 512}, kStoredOnly},
    {kTargetMetadata, "BatchApplyEnabled", Flag{at<&S::target_metadata, &Metadata::batch_apply_enabled>}, kStoredOnly},
    {kTargetMetadata, "TaskRecoveryTableEnabled", Flag{at<&S::target_metadata, &Metadata::task_recovery_table_enabled>}, kStoredOnly},

    {kFullLoad, "TargetTablePrepMode", PrepMode{at<&S::full_load, &Load::target_table_prep_mode>}, kImplemented},
    {kFullLoad, "CreatePkAfterFullLoad", Flag{at<&S::full_load, &Load::create_pk_after_full_load>}, kStoredOnly},
    {kFullLoad, "StopTaskCachedChangesApplied", Flag{at<&S::full_load, &Load::stop_task_cached_changes_applied>}, kImplemented},
    {kFullLoad, "StopTaskCachedChangesNotApplied", Flag{at<&S::full_load, &Load::stop_task_cached_changes_not_applied>}, kImplemented},
    {kFullLoad, "MaxFullLoadSubTasks", Integer{at<&S::full_load, &Load::max_full_load_sub_tasks>, 1, 49}, kImplemented},
    {kFullLoad, "TransactionConsistencyTimeout", Integer{at<&S::full_load, &Load::transaction_consistency_timeout_s>, 0, kCountMax}, kImplemented},
    {kFullLoad, "CommitRate", Integer{at<&S::full_load, &Load::commit_rate>, 1, 50000}, kStoredOnly},

    {kLogging, "EnableLogging", Flag{at<&S::logging, &Log::enable_logging>}, kStoredOnly},
    {kLogging, "EnableLogContext", Flag{at<&S::logging, &Log::enable_log_context>}, kStoredOnly},

    {kControlTables, "ControlSchema", Text{at<&S::control_tables, &Control::control_schema>}, kStoredOnly},
    {kControlTables, "HistoryTimeslotInMinutes", Integer{at<&S::control_tables, &Control::history_timeslot_min>, 1, kCountMax}, kStoredOnly},
    {kControlTables, "HistoryTableEnabled", Flag{at<&S::control_tables, &Control::history_table_enabled>}, kStoredOnly},
    {kControlTables, "SuspendedTablesTableEnabled", Flag{at<&S::control_tables, &Control::suspended_tables_table_enabled>}, kStoredOnly},
    {kControlTables, "StatusTableEnabled", Flag{at<&S::control_tables, &Control::status_table_enabled>}, kStoredOnly},
    {kControlTables, "FullLoadExceptionTableEnabled", Flag{at<&S::control_tables, &Control::full_load_exception_table_enabled>}, kStoredOnly},

    {kStreamBuffer, "StreamBufferCount", Integer{at<&S::stream_buffer, &Buffer::stream_buffer_count>, 1, kCountMax}, kStoredOnly},
    {kStreamBuffer, "StreamBufferSizeInMB", Integer{at<&S::stream_buffer, &Buffer::stream_buffer_size_mb>, 1, kCountMax}, kStoredOnly},
    {kStreamBuffer, "CtrlStreamBufferSizeInMB", Integer{at<&S::stream_buffer, &Buffer::ctrl_stream_buffer_size_mb>, 1, 8}, kStoredOnly},

    {kDdlHandling, "HandleSourceTableDropped", Flag{at<&S::ddl_handling, &Ddl::handle_source_table_dropped>}, kImplemented},
    {kDdlHandling, "HandleSourceTableTruncated", Flag{at<&S::ddl_handling, &Ddl::handle_source_table_truncated>}, kImplemented},
    {kDdlHandling, "HandleSourceTableAltered", Flag{at<&S::ddl_handling, &Ddl::handle_source_table_altered>}, kImplemented},

    {kErrorBehavior, "DataErrorPolicy", Action{at<&S::error_behavior, &Errors::data_error_policy>, kDataActions}, kImplemented},
    {kErrorBehavior, "DataTruncationErrorPolicy", Action{at<&S::error_behavior, &Errors::data_truncation_error_policy>, kDataActions}, kStoredOnly},
    {kErrorBehavior, "DataMaskingErrorPolicy", Action{at<&S::error_behavior, &Errors::data_masking_error_policy>, kDataActions}, kStoredOnly},
    {kErrorBehavior, "DataErrorEscalationPolicy", Action{at<&S::error_behavior, &Errors::data_error_escalation_policy>, kTableActions}, kImplemented},
    {kErrorBehavior, "DataErrorEscalationCount", Integer{at<&S::error_behavior, &Errors::data_error_escalation_count>, 0, kCountMax}, kImplemented},
    {kErrorBehavior, "EventErrorPolicy", Action{at<&S::error_behavior, &Errors::event_error_policy>, kEventActions}, kStoredOnly},
    {kErrorBehavior, "TableErrorPolicy", Action{at<&S::error_behavior, &Errors::table_error_policy>, kTableActions}, kImplemented},
    {kErrorBehavior, "TableErrorEscalationPolicy", Action{at<&S::error_behavior, &Errors::table_error_escalation_policy>, kStopOnly}, kImplemented},
    {kErrorBehavior, "TableErrorEscalationCount", Integer{at<&S::error_behavior, &Errors::table_error_escalation_count>, 0, kCountMax}, kImplemented},
    {kErrorBehavior, "RecoverableErrorCount", Integer{at<&S::error_behavior, &Errors::recoverable_error_count>, -1, kCountMax}, kImplemented},
    {kErrorBehavior, "RecoverableErrorInterval", Integer{at<&S::error_behavior, &Errors::recoverable_error_interval_s>, 0, kCountMax}, kImplemented},
    {kErrorBehavior, "RecoverableErrorThrottling", Flag{at<&S::error_behavior, &Errors::recoverable_error_throttling>}, kImplemented},
    {kErrorBehavior, "RecoverableErrorThrottlingMax", Integer{at<&S::error_behavior, &Errors::recoverable_error_throttling_max_s>, 0, kCountMax}, kImplemented},
    {kErrorBehavior, "RecoverableErrorStopRetryAfterThrottlingMax", Flag{at<&S::error_behavior, &Errors::recoverable_error_stop_retry_after_throttling_max>}, kImplemented},
    {kErrorBehavior, "ApplyErrorDeletePolicy", Action{at<&S::error_behavior, &Errors::apply_error_delete_policy>, kDataActions}, kStoredOnly},
    {kErrorBehavior, "ApplyErrorInsertPolicy", Action{at<&S::error_behavior, &Errors::apply_error_insert_policy>, kInsertActions}, kStoredOnly},
    {kErrorBehavior, "ApplyErrorUpdatePolicy", Action{at<&S::error_behavior, &Errors::apply_error_update_policy>, kUpdateActions}, kStoredOnly},
    {kErrorBehavior, "ApplyErrorEscalationPolicy", Action{at<&S::error_behavior, &Errors::apply_error_escalation_policy>, kEscalations}, kStoredOnly},
    {kErrorBehavior, "ApplyErrorEscalationCount", Integer{at<&S::error_behavior, &Errors::apply_error_escalation_count>, 0, kCountMax}, kStoredOnly},
    {kErrorBehavior, "ApplyErrorFailOnTruncationDdl", Flag{at<&S::error_behavior, &Errors::apply_error_fail_on_truncation_ddl>}, kStoredOnly},
    {kErrorBehavior, "FullLoadIgnoreConflicts", Flag{at<&S::error_behavior, &Errors::full_load_ignore_conflicts>}, kStoredOnly},
    {kErrorBehavior, "FailOnTransactionConsistencyBreached", Flag{at<&S::error_behavior, &Errors::fail_on_transaction_consistency_breached>}, kStoredOnly},
    {kErrorBehavior, "FailOnNoTablesCaptured", Flag{at<&S::error_behavior, &Errors::fail_on_no_tables_captured>}, kImplemented},

    {kTuning, "BatchApplyPreserveTransaction", Flag{at<&S::tuning, &Tuning::batch_apply_preserve_transaction>}, kStoredOnly},
    {kTuning, "BatchApplyTimeoutMin", Integer{at<&S::tuning, &Tuning::batch_apply_timeout_min_s>, 0, kCountMax}, kStoredOnly},
    {kTuning, "BatchApplyTimeoutMax", Integer{at<&S::tuning, &Tuning::batch_apply_timeout_max_s>, 0, kCountMax}, kStoredOnly},
    {kTuning, "BatchApplyMemoryLimit", Integer{at<&S::tuning, &Tuning::batch_apply_memory_limit_mb>, 0, kCountMax}, kStoredOnly},
    {kTuning, "BatchSplitSize", Integer{at<&S::tuning, &Tuning::batch_split_size>, 0, kCountMax}, kStoredOnly},
    {kTuning, "MinTransactionSize", Integer{at<&S::tuning, &Tuning::min_transaction_size>, 0, kCountMax}, kStoredOnly},
    {kTuning, "CommitTimeout", Integer{at<&S::tuning, &Tuning::commit_timeout_s>, 0, kCountMax}, kStoredOnly},
    {kTuning, "MemoryLimitTotal", Integer{at<&S::tuning, &Tuning::memory_limit_total_mb>, 1, kCountMax}, kImplemented},
    {kTuning, "MemoryKeepTime", Integer{at<&S::tuning, &Tuning::memory_keep_time_s>, 0, kCountMax}, kStoredOnly},
    {kTuning, "StatementCacheSize", Integer{at<&S::tuning, &Tuning::statement_cache_size>, 0, 200}, kStoredOnly},
    {kTuning, "RecoveryTimeout", Integer{at<&S::tuning, &Tuning::recovery_timeout_min>, -1, kCountMax}, kStoredOnly},

    {kTopLevel, "FailTaskWhenCleanTaskResourceFailed",
     Flag{[](TaskSettings& settings) -> bool& { return settings.fail_task_when_clean_task_resource_failed; }}, kStoredOnly},
    // clang-format on
};

// Sections that Ferry keeps as text. Their keys are known so that a wrong one is refused.
constexpr std::string_view kTimeTravelKeys[] = {"EnableTT", "TTS3Settings", "TTRecordSettings"};
constexpr std::string_view kCharacterSetKeys[] = {"CharacterReplacements", "CharacterSetSupport"};
constexpr std::string_view kLoopbackPreventionKeys[] = {"EnableLoopbackPrevention", "SourceSchema",
                                                        "TargetSchema"};
constexpr std::string_view kBeforeImageKeys[] = {"EnableBeforeImage", "FieldName", "ColumnFilter"};
constexpr std::string_view kValidationKeys[] = {
    "EnableValidation",    "ValidationMode",
    "ThreadCount",         "PartitionSize",
    "FailureMaxCount",     "TableFailureMaxCount",
    "MaxKeyColumnSize",    "RecordFailureDelayInMinutes",
    "HandleCollationDiff", "RecordFailureDelayLimitInMinutes",
    "SkipLobColumns",      "RecordSuspendDelayInMinutes",
    "ValidationOnly",      "ValidationPartialLobSize",
    "ValidationS3Mask",    "ValidationQueryCdcDelaySeconds",
    "ValidationS3Time",
};
constexpr std::string_view kResyncKeys[] = {"EnableResync", "ResyncSchedule", "MaxResyncTime",
                                            "ValidationTaskId"};

struct StoredSection {
  std::string_view name;
  std::string StoredSections::* text;
  std::span<const std::string_view> keys;  // Empty = anything.
  bool is_always_printed;
  std::string_view flag;  // The key without which the others ask for nothing; empty = there is none.
};
constexpr StoredSection kStoredSections[] = {
    {"TTSettings", &StoredSections::time_travel, kTimeTravelKeys, true, "EnableTT"},
    {"PostProcessingRules", &StoredSections::post_processing_rules, {}, true, ""},
    {"CharacterSetSettings", &StoredSections::character_set, kCharacterSetKeys, true, ""},
    {"LoopbackPreventionSettings", &StoredSections::loopback_prevention, kLoopbackPreventionKeys, true,
     "EnableLoopbackPrevention"},
    {"BeforeImageSettings", &StoredSections::before_image, kBeforeImageKeys, true, "EnableBeforeImage"},
    {"ValidationSettings", &StoredSections::validation, kValidationKeys, false, "EnableValidation"},
    {"ResyncSettings", &StoredSections::resync, kResyncKeys, false, "EnableResync"},
};

// Keys that DMS's documents hold and that set nothing: read-only members, and an action on another resource.
constexpr std::string_view kKeysWithoutMeaning[] = {"Logging.CloudWatchLogGroup",
                                                    "Logging.CloudWatchLogStream", "Logging.LogConfiguration",
                                                    "Logging.DeleteTaskLogs"};

// DMS's documents list the setting under FullLoadSettings too.
constexpr std::string_view kParallelLoadThreads = "ParallelLoadThreads";

constexpr std::string_view kLogComponents = "LogComponents";
constexpr std::string_view kLogComponentIds[] = {
    "TRANSFORMATION",   "SOURCE_UNLOAD",  "IO",           "TARGET_LOAD",
    "PERFORMANCE",      "SOURCE_CAPTURE", "SORTER",       "REST_SERVER",
    "VALIDATOR_EXT",    "TARGET_APPLY",   "TASK_MANAGER", "TABLES_MANAGER",
    "METADATA_MANAGER", "FILE_FACTORY",   "COMMON",       "ADDONS",
    "DATA_STRUCTURE",   "COMMUNICATION",  "FILE_TRANSFER"};
// Printed only where the user's document gives them.
constexpr std::string_view kResyncLogComponentIds[] = {"DATA_RESYNC", "RESYNC_UNLOAD", "RESYNC_APPLY"};
constexpr std::string_view kSeverityDefault = "LOGGER_SEVERITY_DEFAULT";
constexpr std::string_view kSeverities[] = {"LOGGER_SEVERITY_ERROR", "LOGGER_SEVERITY_WARNING",
                                            "LOGGER_SEVERITY_INFO",  kSeverityDefault,
                                            "LOGGER_SEVERITY_DEBUG", "LOGGER_SEVERITY_DETAILED_DEBUG"};

std::string path_of(std::string_view section, std::string_view key) {
  return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
}
std::string path_of(const Setting& setting) { return path_of(setting.section, setting.key); }

const Setting* find_setting(std::string_view section, std::string_view key) {
  if (section == kFullLoad && equal_ignoring_case(key, kParallelLoadThreads)) section = kTargetMetadata;
  for (const auto& setting : kSettings) {
    if (setting.section == section && equal_ignoring_case(setting.key, key)) return &setting;
  }
  return nullptr;
}

template <typename Names>
std::optional<std::string_view> find_name(const Names& names, std::string_view text) {
  for (std::string_view name : names) {
    if (equal_ignoring_case(name, text)) return name;
  }
  return std::nullopt;
}

Error not_allowed(std::string_view path, const boost::json::value& got, std::string_view allowed) {
  return Error(ErrorKind::kDocumentInvalid, {.message = fmt::format("task setting {} is {}, which is not {}",
                                                                    path, json_excerpt(got), allowed),
                                             .remedy = "Correct ReplicationTaskSettings"});
}

Error unknown(std::string_view path) {
  return Error(ErrorKind::kSettingUnknown,
               {.message = fmt::format("task setting {} is not known", path),
                .remedy = "Correct its name or remove it from ReplicationTaskSettings"});
}

// Writes a value of the document to its place. `path` is for messages.
struct Assign {
  TaskSettings& settings;
  const boost::json::value& given;
  std::string_view path;

  void operator()(const Flag& flag) const {
    if (!given.is_bool()) throw not_allowed(path, given, "true or false");
    flag.at(settings) = given.get_bool();
  }
  void operator()(const Text& text) const {
    if (!given.is_string()) throw not_allowed(path, given, "a text");
    text.at(settings) = given.get_string();
  }
  void operator()(const Integer& integer) const {
    if (given.is_int64() && given.get_int64() >= integer.min && given.get_int64() <= integer.max) {
      integer.at(settings) = given.get_int64();
      return;
    }
    throw not_allowed(path, given, fmt::format("an integer from {} to {}", integer.min, integer.max));
  }
  void operator()(const Action& action) const {
    for (ErrorAction allowed : action.allowed) {
      if (!given.is_string() || !equal_ignoring_case(given.get_string(), to_string(allowed))) continue;
      action.at(settings) = allowed;
      return;
    }
    std::string list;
    for (ErrorAction allowed : action.allowed)
      list += fmt::format("{}{}", list.empty() ? "" : ", ", to_string(allowed));
    throw not_allowed(path, given, "one of " + list);
  }
  void operator()(const PrepMode& mode) const {
    for (std::size_t i = 0; i < kPrepModeNames.size(); ++i) {
      if (!given.is_string() || !equal_ignoring_case(given.get_string(), kPrepModeNames[i])) continue;
      mode.at(settings) = static_cast<TargetTablePrepMode>(i);
      return;
    }
    throw not_allowed(path, given, fmt::format("one of {}", fmt::join(kPrepModeNames, ", ")));
  }
};

// The value as it stands in a document.
struct Show {
  TaskSettings& settings;  // Only read: the table's accessors serve both ways.

  boost::json::value operator()(const Flag& flag) const { return flag.at(settings); }
  boost::json::value operator()(const Text& text) const { return boost::json::value(text.at(settings)); }
  boost::json::value operator()(const Integer& integer) const { return integer.at(settings); }
  boost::json::value operator()(const Action& action) const { return name(to_string(action.at(settings))); }
  boost::json::value operator()(const PrepMode& mode) const { return name(to_string(mode.at(settings))); }

 private:
  static boost::json::value name(std::string_view text) {
    return boost::json::string(boost::json::string_view(text.data(), text.size()));
  }
};

// Reads one settings document. Lives for one call.
class SettingsReader {
 public:
  SettingsReader(const boost::json::object& document, UnknownKeys unknown_keys)
      : document_(document), unknown_keys_(unknown_keys) {}

  TaskSettings read();

 private:
  void read_top_level(std::string_view key, const boost::json::value& value);
  void read_section(std::string_view section, const boost::json::object& object);
  void read_stored(const StoredSection& section, const boost::json::value& value);
  void read_log_components(const boost::json::value& value);
  void read_setting(const Setting& setting, std::string_view path, const boost::json::value& value);
  void check_conflicts() const;
  void refuse_unknown(const std::string& path) const {
    if (unknown_keys_ == UnknownKeys::kRefuse) throw unknown(path);
  }

  const boost::json::object& document_;
  UnknownKeys unknown_keys_;
  TaskSettings settings_;
};

// DMS prints HistoryTimeslotInMinutes a second time as historyTimeslotInMinutes: the exact spelling counts.
bool is_shadowed(const boost::json::object& object, std::string_view given, std::string_view exact) {
  return given != exact && object.contains(boost::json::string_view(exact.data(), exact.size()));
}

void SettingsReader::read_setting(const Setting& setting, std::string_view path,
                                  const boost::json::value& value) {
  if (value.is_null()) return;
  std::visit(Assign{settings_, value, path}, setting.value);
  settings_.named_paths.insert(path_of(setting));
}

void SettingsReader::read_log_components(const boost::json::value& value) {
  if (value.is_null()) return;
  std::string path = path_of(kLogging, kLogComponents);
  const auto* components = value.if_array();
  if (!components) throw not_allowed(path, value, "a list of {\"Id\": …, \"Severity\": …}");
  for (const auto& component : *components) {
    const auto* object = component.if_object();
    const auto* id = object ? object->if_contains("Id") : nullptr;
    const auto* severity = object ? object->if_contains("Severity") : nullptr;
    if (!id || !id->is_string() || !severity || !severity->is_string()) {
      throw not_allowed(path, component, "of the form {\"Id\": …, \"Severity\": …}");
    }
    auto known_id = find_name(kLogComponentIds, id->get_string());
    if (!known_id) known_id = find_name(kResyncLogComponentIds, id->get_string());
    if (!known_id && unknown_keys_ == UnknownKeys::kKeep) continue;
    if (!known_id)
      throw not_allowed(path + ".Id", *id, fmt::format("one of {}", fmt::join(kLogComponentIds, ", ")));
    auto known_severity = find_name(kSeverities, severity->get_string());
    if (!known_severity) {
      throw not_allowed(path + ".Severity", *severity,
                        fmt::format("one of {}", fmt::join(kSeverities, ", ")));
    }
    auto& all = settings_.logging.components;
    std::erase_if(all, [&](const LogComponent& other) { return other.id == *known_id; });
    all.push_back({.id = std::string(*known_id), .severity = std::string(*known_severity)});
  }
  settings_.named_paths.insert(path);
}

void SettingsReader::read_section(std::string_view section, const boost::json::object& object) {
  for (const auto& member : object) {
    std::string path = path_of(section, member.key());
    if (section == kLogging && equal_ignoring_case(member.key(), kLogComponents)) {
      read_log_components(member.value());
      continue;
    }
    if (find_name(kKeysWithoutMeaning, path)) continue;
    const auto* setting = find_setting(section, member.key());
    if (!setting) {
      refuse_unknown(path);
      continue;
    }
    if (is_shadowed(object, member.key(), setting->key)) continue;
    read_setting(*setting, path, member.value());
  }
}

void SettingsReader::read_stored(const StoredSection& section, const boost::json::value& value) {
  if (value.is_null()) return;
  std::string name(section.name);
  if (!section.keys.empty()) {
    const auto* object = value.if_object();
    if (!object) throw not_allowed(name, value, "an object");
    for (const auto& member : *object) {
      auto known = find_name(section.keys, member.key());
      if (!known) refuse_unknown(path_of(name, member.key()));
      if (known && !member.value().is_null()) settings_.named_paths.insert(path_of(name, *known));
    }
  }
  settings_.stored.*section.text = canonical_json(value);
  settings_.named_paths.insert(std::move(name));
}

void SettingsReader::read_top_level(std::string_view key, const boost::json::value& value) {
  for (const auto& section : kStoredSections) {
    if (!equal_ignoring_case(section.name, key)) continue;
    if (!is_shadowed(document_, key, section.name)) read_stored(section, value);
    return;
  }
  if (const auto* setting = find_setting(kTopLevel, key)) {
    if (!is_shadowed(document_, key, setting->key)) read_setting(*setting, setting->key, value);
    return;
  }
  for (const auto& setting : kSettings) {
    if (setting.section == kTopLevel || !equal_ignoring_case(setting.section, key)) continue;
    if (value.is_null()) return;
    const auto* object = value.if_object();
    if (!object) throw not_allowed(setting.section, value, "an object");
    if (!is_shadowed(document_, key, setting.section)) read_section(setting.section, *object);
    return;
  }
  refuse_unknown(std::string(key));
}

void SettingsReader::check_conflicts() const {
  const auto& lobs = settings_.target_metadata;
  if (lobs.support_lobs && !lobs.full_lob_mode && !lobs.limited_size_lob_mode) {
    throw Error(
        ErrorKind::kSettingConflict,
        Error::Parts{
            .message =
                "task setting TargetMetadata.SupportLobs is true, but FullLobMode and LimitedSizeLobMode "
                "are both false",
            .remedy = "Set one of the two to true, or SupportLobs to false"});
  }
}

TaskSettings SettingsReader::read() {
  for (const auto& member : document_) read_top_level(member.key(), member.value());
  check_conflicts();
  return std::move(settings_);
}

boost::json::array log_components(const Logging& logging) {
  boost::json::array array;
  auto add = [&](std::string_view id, bool is_always_printed) {
    auto given = std::find_if(logging.components.begin(), logging.components.end(),
                              [&](const LogComponent& component) { return component.id == id; });
    if (given == logging.components.end() && !is_always_printed) return;
    std::string severity(given == logging.components.end() ? kSeverityDefault
                                                           : std::string_view(given->severity));
    array.push_back(boost::json::object{{"Severity", severity}, {"Id", std::string(id)}});
  };
  for (auto id : kLogComponentIds) add(id, true);
  for (auto id : kResyncLogComponentIds) add(id, false);
  return array;
}

// DMS prints whole sections whose flag is false; such a one asks for nothing.
bool is_switched_off(const StoredSection& section, const StoredSections& stored) {
  if (section.flag.empty()) return false;
  boost::json::value value = parse_json(stored.*section.text, section.name);
  for (const auto& member : value.as_object()) {
    if (!equal_ignoring_case(member.key(), section.flag)) continue;
    return member.value().is_null() || member.value() == false || member.value() == "false";
  }
  return true;
}

}  // namespace

std::string_view to_string(TargetTablePrepMode mode) {
  return kPrepModeNames[static_cast<std::size_t>(mode)];
}

std::string_view to_string(ErrorAction action) { return kActionNames[static_cast<std::size_t>(action)]; }

TaskSettings parse_task_settings(std::string_view json, UnknownKeys unknown_keys) {
  auto document = parse_json(json, "ReplicationTaskSettings");
  if (document.is_null()) return {};
  const auto* object = document.if_object();
  if (!object) throw not_allowed("document", document, "a JSON object");
  return SettingsReader(*object, unknown_keys).read();
}

std::string task_settings_json(const TaskSettings& given) {
  TaskSettings settings = given;
  boost::json::object document;
  for (const auto& setting : kSettings) {
    if (setting.section == kTopLevel) continue;
    auto& section = document[setting.section];
    if (!section.is_object()) section.emplace_object();
    section.get_object()[setting.key] = std::visit(Show{settings}, setting.value);
    if (setting.key == "HistoryTimeslotInMinutes") {
      section.get_object()["historyTimeslotInMinutes"] = settings.control_tables.history_timeslot_min;
    }
  }
  auto& logging_section = document[kLogging].get_object();
  logging_section[kLogComponents] = log_components(settings.logging);
  logging_section["CloudWatchLogGroup"] = nullptr;
  logging_section["CloudWatchLogStream"] = nullptr;
  for (const auto& section : kStoredSections) {
    const std::string& text = settings.stored.*section.text;
    if (section.is_always_printed || text != "null") document[section.name] = parse_json(text, section.name);
  }
  for (const auto& setting : kSettings) {
    if (setting.section == kTopLevel) document[setting.key] = std::visit(Show{settings}, setting.value);
  }
  return boost::json::serialize(document);
}

std::string default_task_settings_json() { return task_settings_json({}); }

std::vector<StoredOnlySetting> stored_only_settings(const TaskSettings& given) {
  TaskSettings settings = given;
  TaskSettings defaults;
  std::vector<StoredOnlySetting> found;
  for (const auto& setting : kSettings) {
    if (setting.effect != kStoredOnly || !settings.named(path_of(setting))) continue;
    bool is_default = std::visit(Show{settings}, setting.value) == std::visit(Show{defaults}, setting.value);
    found.push_back({.path = path_of(setting), .is_default = is_default});
  }
  if (std::string components = path_of(kLogging, kLogComponents); settings.named(components)) {
    bool is_default = log_components(settings.logging) == log_components(defaults.logging);
    found.push_back({.path = std::move(components), .is_default = is_default});
  }
  for (const auto& section : kStoredSections) {
    if (!settings.named(section.name)) continue;
    found.push_back(
        {.path = std::string(section.name), .is_default = is_switched_off(section, settings.stored)});
  }
  return found;
}

std::vector<std::string> settings_fixed_between_runs(const TaskSettings& given) {
  TaskSettings settings = given;
  std::vector<std::string> lines;
  for (const auto& setting : kSettings) {
    std::string path = path_of(setting);
    if (setting.between_runs != kFixed || !settings.named(path)) continue;
    lines.push_back(
        fmt::format("{}={}", path, boost::json::serialize(std::visit(Show{settings}, setting.value))));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace ferry::model
