#include "model/task_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>

#include "base/error.h"
#include "model/json_document.h"

namespace ferry::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// What AWS DMS returns for a task made without settings, in its order, the doubled HistoryTimeslotInMinutes
// included.
constexpr std::string_view kDmsDefaults = R"json(
{"Logging":{"EnableLogging":false,"EnableLogContext":false,"LogComponents":[
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"TRANSFORMATION"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"SOURCE_UNLOAD"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"IO"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"TARGET_LOAD"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"PERFORMANCE"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"SOURCE_CAPTURE"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"SORTER"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"REST_SERVER"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"VALIDATOR_EXT"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"TARGET_APPLY"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"TASK_MANAGER"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"TABLES_MANAGER"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"METADATA_MANAGER"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"FILE_FACTORY"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"COMMON"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"ADDONS"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"DATA_STRUCTURE"},{"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"COMMUNICATION"},
   {"Severity":"LOGGER_SEVERITY_DEFAULT","Id":"FILE_TRANSFER"}],
  "CloudWatchLogGroup":null,"CloudWatchLogStream":null},
 "StreamBufferSettings":{"StreamBufferCount":3,"CtrlStreamBufferSizeInMB":5,"StreamBufferSizeInMB":8},
 "ErrorBehavior":{"FailOnNoTablesCaptured":true,"ApplyErrorUpdatePolicy":"LOG_ERROR","FailOnTransactionConsistencyBreached":false,
  "RecoverableErrorThrottlingMax":1800,"DataErrorEscalationPolicy":"SUSPEND_TABLE","ApplyErrorEscalationCount":0,
  "RecoverableErrorStopRetryAfterThrottlingMax":true,"RecoverableErrorThrottling":true,"ApplyErrorFailOnTruncationDdl":false,
  "DataMaskingErrorPolicy":"STOP_TASK","DataTruncationErrorPolicy":"LOG_ERROR","ApplyErrorInsertPolicy":"LOG_ERROR","EventErrorPolicy":"IGNORE",
  "ApplyErrorEscalationPolicy":"LOG_ERROR","RecoverableErrorCount":-1,"DataErrorEscalationCount":0,"TableErrorEscalationPolicy":"STOP_TASK",
  "RecoverableErrorInterval":5,"ApplyErrorDeletePolicy":"IGNORE_RECORD","TableErrorEscalationCount":0,"FullLoadIgnoreConflicts":true,
  "DataErrorPolicy":"LOG_ERROR","TableErrorPolicy":"SUSPEND_TABLE"},
 "TTSettings":null,
 "FullLoadSettings":{"CommitRate":10000,"StopTaskCachedChangesApplied":false,"StopTaskCachedChangesNotApplied":false,"MaxFullLoadSubTasks":8,
  "TransactionConsistencyTimeout":600,"CreatePkAfterFullLoad":false,"TargetTablePrepMode":"DROP_AND_CREATE"},
 "TargetMetadata":{"ParallelApplyBufferSize":0,"ParallelApplyQueuesPerThread":0,"ParallelApplyThreads":0,"TargetSchema":"","InlineLobMaxSize":0,
  "ParallelLoadQueuesPerThread":0,"SupportLobs":true,"LobChunkSize":64,"TaskRecoveryTableEnabled":false,"ParallelLoadThreads":0,"LobMaxSize":32,
  "BatchApplyEnabled":false,"FullLobMode":false,"LimitedSizeLobMode":true,"LoadMaxFileSize":0,"ParallelLoadBufferSize":0},
 "BeforeImageSettings":null,
 "ControlTablesSettings":{"historyTimeslotInMinutes":5,"HistoryTimeslotInMinutes":5,"StatusTableEnabled":false,"SuspendedTablesTableEnabled":false,
  "HistoryTableEnabled":false,"ControlSchema":"","FullLoadExceptionTableEnabled":false},
 "LoopbackPreventionSettings":null,"CharacterSetSettings":null,"FailTaskWhenCleanTaskResourceFailed":false,
 "ChangeProcessingTuning":{"StatementCacheSize":50,"CommitTimeout":1,"RecoveryTimeout":-1,"BatchApplyPreserveTransaction":true,"BatchApplyTimeoutMin":1,
  "BatchSplitSize":0,"BatchApplyTimeoutMax":30,"MinTransactionSize":1000,"MemoryKeepTime":60,"BatchApplyMemoryLimit":500,"MemoryLimitTotal":1024},
 "ChangeProcessingDdlHandlingPolicy":{"HandleSourceTableDropped":true,"HandleSourceTableTruncated":true,"HandleSourceTableAltered":true},
 "PostProcessingRules":null}
)json";

std::string canonical(std::string_view json) { return canonical_json(parse_json(json, "the settings")); }

TaskSettings parse(std::string_view json) { return parse_task_settings(json, UnknownKeys::kRefuse); }

// "kind code: message" of what parsing throws.
std::string error_of(std::string_view json) {
  try {
    parse(json);
  } catch (const base::Error& error) {
    return std::string(base::facts_of(error.kind()).code) + ": " + error.message();
  }
  return "";
}

TEST(TaskSettings, DefaultDocumentIsThatOfDms) {
  EXPECT_EQ(canonical(default_task_settings_json()), canonical(kDmsDefaults));
}

TEST(TaskSettings, ReadsItsOwnAndDmsDefaultDocument) {
  EXPECT_EQ(task_settings_json(parse(kDmsDefaults)), default_task_settings_json());
  EXPECT_EQ(task_settings_json(parse(default_task_settings_json())), default_task_settings_json());
  EXPECT_EQ(task_settings_json(parse("{}")), default_task_settings_json());
  EXPECT_EQ(task_settings_json(parse("null")), default_task_settings_json());
}

TEST(TaskSettings, GivenValuesWinOverDefaults) {
  auto settings = parse(R"({
    "TargetMetadata": {"TargetSchema": "dwh", "LobMaxSize": 102400},
    "FullLoadSettings": {"TargetTablePrepMode": "TRUNCATE_BEFORE_LOAD", "MaxFullLoadSubTasks": 49},
    "ErrorBehavior": {"ApplyErrorInsertPolicy": "INSERT_RECORD", "RecoverableErrorCount": 0},
    "FailTaskWhenCleanTaskResourceFailed": true})");
  EXPECT_EQ(settings.target_metadata.target_schema, "dwh");
  EXPECT_EQ(settings.target_metadata.lob_max_size_kb, 102400);
  EXPECT_EQ(settings.full_load.target_table_prep_mode, TargetTablePrepMode::kTruncateBeforeLoad);
  EXPECT_EQ(settings.full_load.max_full_load_sub_tasks, 49);
  EXPECT_EQ(settings.error_behavior.apply_error_insert_policy, ErrorAction::kInsertRecord);
  EXPECT_EQ(settings.error_behavior.recoverable_error_count, 0);
  EXPECT_TRUE(settings.fail_task_when_clean_task_resource_failed);
  EXPECT_EQ(task_settings_json(parse(task_settings_json(settings))), task_settings_json(settings));
}

TEST(TaskSettings, EverySettingCanBeReadBack) {
  // Each setting of the default document, set alone to another value of its type, comes back as set: no two
  // settings share a place, and none has the wrong one.
  auto defaults = parse_json(default_task_settings_json(), "the defaults");
  for (const auto& section : defaults.get_object()) {
    if (!section.value().is_object()) continue;
    for (const auto& setting : section.value().get_object()) {
      if (setting.key() == "historyTimeslotInMinutes" || setting.value().is_null() ||
          setting.value().is_array())
        continue;
      boost::json::value other;
      if (setting.value().is_bool()) other = !setting.value().get_bool();
      if (setting.value().is_int64()) other = setting.value().get_int64() + 1;
      if (setting.value().is_string()) other = "STOP_TASK";
      if (setting.key() == "TargetTablePrepMode") other = "DO_NOTHING";
      if (setting.key() == "TableErrorEscalationPolicy") continue;  // It has one value only.

      auto expected = defaults;
      expected.at(section.key()).at(setting.key()) = other;
      if (setting.key() == "HistoryTimeslotInMinutes") {
        expected.at(section.key()).at("historyTimeslotInMinutes") = other;
      }
      boost::json::object document = {{section.key(), boost::json::object{{setting.key(), other}}}};
      if (setting.key() == "LimitedSizeLobMode") {
        document[section.key()].get_object()["FullLobMode"] = true;
        expected.at(section.key()).at("FullLobMode") = true;
      }
      auto read = parse(boost::json::serialize(document));
      EXPECT_EQ(canonical(task_settings_json(read)), canonical_json(expected)) << setting.key();
      EXPECT_TRUE(read.named(std::string(section.key()) + "." + std::string(setting.key()))) << setting.key();
    }
  }
}

TEST(TaskSettings, NamesWhatTheDocumentGivesEvenWithTheDefault) {
  auto settings = parse(R"({"targetmetadata": {"LOBMAXSIZE": 32, "FullLobMode": null},
                            "ValidationSettings": {"enableValidation": true, "ThreadCount": null}, "TTSettings": null})");
  EXPECT_TRUE(settings.named("TargetMetadata.LobMaxSize"));
  EXPECT_FALSE(settings.named("TargetMetadata.FullLobMode"));
  EXPECT_FALSE(settings.named("TargetMetadata.LimitedSizeLobMode"));
  EXPECT_TRUE(settings.named("ValidationSettings"));
  EXPECT_TRUE(settings.named("ValidationSettings.EnableValidation"));
  EXPECT_FALSE(settings.named("ValidationSettings.ThreadCount"));
  EXPECT_FALSE(settings.named("TTSettings"));
  EXPECT_THAT(parse("{}").named_paths, IsEmpty());
}

TEST(TaskSettings, OfTwoSpellingsTheExactOneCounts) {
  auto settings =
      parse(R"({"ControlTablesSettings": {"HistoryTimeslotInMinutes": 7, "historyTimeslotInMinutes": 5}})");
  EXPECT_EQ(settings.control_tables.history_timeslot_min, 7);
  settings = parse(R"({"ControlTablesSettings": {"historyTimeslotInMinutes": 9}})");
  EXPECT_EQ(settings.control_tables.history_timeslot_min, 9);
}

TEST(TaskSettings, FullLoadSettingsMayHoldParallelLoadThreads) {
  auto settings = parse(R"({"FullLoadSettings": {"ParallelLoadThreads": 4}})");
  EXPECT_EQ(settings.target_metadata.parallel_load_threads, 4);
  EXPECT_TRUE(settings.named("TargetMetadata.ParallelLoadThreads"));
}

TEST(TaskSettings, SaysWhatIsWrongAndWhatIsAllowed) {
  EXPECT_EQ(error_of(R"({"FullLoadSettings": {"MaxFullLoadSubTasks": 50}})"),
            "document_invalid: task setting FullLoadSettings.MaxFullLoadSubTasks is 50, which is not an "
            "integer from 1 to 49");
  EXPECT_EQ(
      error_of(R"({"FullLoadSettings": {"TargetTablePrepMode": "DROP"}})"),
      "document_invalid: task setting FullLoadSettings.TargetTablePrepMode is \"DROP\", which is not one of "
      "DO_NOTHING, DROP_AND_CREATE, TRUNCATE_BEFORE_LOAD");
  EXPECT_EQ(
      error_of(R"({"ErrorBehavior": {"TableErrorPolicy": "LOG_ERROR"}})"),
      "document_invalid: task setting ErrorBehavior.TableErrorPolicy is \"LOG_ERROR\", which is not one of "
      "SUSPEND_TABLE, STOP_TASK");
  EXPECT_EQ(
      error_of(R"({"TargetMetadata": {"SupportLobs": "true"}})"),
      "document_invalid: task setting TargetMetadata.SupportLobs is \"true\", which is not true or false");
  EXPECT_EQ(error_of(R"({"TargetMetadata": {"TargetSchema": 1}})"),
            "document_invalid: task setting TargetMetadata.TargetSchema is 1, which is not a text");
  EXPECT_EQ(error_of(R"({"TargetMetadata": []})"),
            "document_invalid: task setting TargetMetadata is [], which is not an object");
  EXPECT_THAT(error_of(R"({"FullLoadSettings": {"CommitRate": 18446744073709551615}})"),
              HasSubstr("from 1 to 50000"));
  EXPECT_THAT(error_of(R"({"FullLoadSettings": {"CommitRate": 1.5}})"), HasSubstr("from 1 to 50000"));
  EXPECT_THAT(error_of(R"({"Logging": {"LogComponents": [{"Id": "SORTER", "Severity": "LOUD"}]}})"),
              HasSubstr("Logging.LogComponents.Severity is \"LOUD\""));
  EXPECT_THAT(error_of(R"({"Logging": {"LogComponents": {"SORTER": 1}}})"), HasSubstr("which is not a list"));
  EXPECT_THAT(error_of("[]"), HasSubstr("which is not a JSON object"));
  EXPECT_THAT(error_of("{\n\"Logging\": {,}}"), HasSubstr("line 2, column 13"));
}

TEST(TaskSettings, UnknownKeysAreRefusedByFullName) {
  EXPECT_EQ(error_of(R"({"FullLoadSettings": {"MaxFullLoadSubtask": 8}})"),
            "setting_unknown: task setting FullLoadSettings.MaxFullLoadSubtask is not known");
  EXPECT_EQ(error_of(R"({"FullLoad": {}})"), "setting_unknown: task setting FullLoad is not known");
  EXPECT_EQ(error_of(R"({"": {"FailTaskWhenCleanTaskResourceFailed": true}})"),
            "setting_unknown: task setting  is not known");
  EXPECT_EQ(error_of(R"({"ValidationSettings": {"EnableValidate": true}})"),
            "setting_unknown: task setting ValidationSettings.EnableValidate is not known");
}

TEST(TaskSettings, UnknownKeysMayBeKept) {
  auto settings = parse_task_settings(
      R"({"New": {"Key": 1}, "FullLoadSettings": {"New": 1, "CommitRate": 5}})", UnknownKeys::kKeep);
  EXPECT_EQ(settings.full_load.commit_rate, 5);
}

TEST(TaskSettings, LobsNeedAMode) {
  EXPECT_THAT(error_of(R"({"TargetMetadata": {"LimitedSizeLobMode": false}})"),
              HasSubstr("setting_conflict"));
  EXPECT_EQ(error_of(R"({"TargetMetadata": {"LimitedSizeLobMode": false, "FullLobMode": true}})"), "");
  EXPECT_EQ(error_of(R"({"TargetMetadata": {"LimitedSizeLobMode": false, "SupportLobs": false}})"), "");
}

TEST(TaskSettings, LogComponentsAreMergedById) {
  auto settings =
      parse(R"({"Logging": {"LogComponents": [{"Id": "SORTER", "Severity": "LOGGER_SEVERITY_DEBUG"},
                                                          {"Id": "RESYNC_APPLY", "Severity": "LOGGER_SEVERITY_INFO"}]}})");
  auto document = parse_json(task_settings_json(settings), "the settings");
  const auto& components = document.at("Logging").at("LogComponents").get_array();
  EXPECT_EQ(components.size(), 20u);
  EXPECT_EQ(components.at(6), (boost::json::value{{"Severity", "LOGGER_SEVERITY_DEBUG"}, {"Id", "SORTER"}}));
}

TEST(TaskSettings, StoredSectionsComeBackAsGiven) {
  auto settings = parse(R"({"BeforeImageSettings": {"FieldName": "before", "EnableBeforeImage": true}})");
  auto document = parse_json(task_settings_json(settings), "the settings");
  EXPECT_EQ(document.at("BeforeImageSettings"),
            (boost::json::value{{"EnableBeforeImage", true}, {"FieldName", "before"}}));
  EXPECT_FALSE(document.get_object().contains("ValidationSettings"));
}

TEST(TaskSettings, ListsNamedSettingsWithoutEffect) {
  auto settings = parse(R"({"TargetMetadata": {"BatchApplyEnabled": true, "LobChunkSize": 64},
                            "FullLoadSettings": {"MaxFullLoadSubTasks": 2}, "TTSettings": {"EnableTT": true}})");
  auto found = stored_only_settings(settings);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].path, "TargetMetadata.LobChunkSize");
  EXPECT_TRUE(found[0].is_default);
  EXPECT_EQ(found[1].path, "TargetMetadata.BatchApplyEnabled");
  EXPECT_FALSE(found[1].is_default);
  EXPECT_EQ(found[2].path, "TTSettings");
  EXPECT_FALSE(found[2].is_default);
}

TEST(TaskSettings, ASectionThatIsSwitchedOffAsksForNothing) {
  auto settings = parse(R"({"TTSettings": {"EnableTT": false, "TTS3Settings": null},
                            "ValidationSettings": {"ThreadCount": 5}, "BeforeImageSettings": {"enableBeforeImage": "true"},
                            "CharacterSetSettings": {"CharacterReplacements": []}})");
  std::map<std::string, bool> defaults;
  for (const auto& setting : stored_only_settings(settings)) defaults[setting.path] = setting.is_default;
  EXPECT_THAT(defaults, ElementsAre(Pair("BeforeImageSettings", false), Pair("CharacterSetSettings", false),
                                    Pair("TTSettings", true), Pair("ValidationSettings", true)));
}

TEST(TaskSettings, OnlyNamedSettingsAreFixedBetweenRuns) {
  EXPECT_THAT(settings_fixed_between_runs(parse("{}")), IsEmpty());
  auto settings = parse(
      R"({"TargetMetadata": {"LobMaxSize": 32, "TargetSchema": "a"}, "FullLoadSettings": {"CommitRate": 1}})");
  EXPECT_THAT(settings_fixed_between_runs(settings),
              ElementsAre("TargetMetadata.LobMaxSize=32", "TargetMetadata.TargetSchema=\"a\""));
}

}  // namespace
}  // namespace ferry::model
