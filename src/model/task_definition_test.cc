#include "model/task_definition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/error.h"
#include "model/json_document.h"

namespace ferry::model {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::string_view kDocument = R"({
  "SourceEndpoint": {"EngineName": "postgres", "ServerName": "db", "DatabaseName": "shop", "Username": "ferry-user",
                     "Password": "s3cret", "PostgreSQLSettings": {"SlotName": "slot_1"}},
  "TargetEndpoint": {"EngineName": "s3", "EndpointUrl": "file:///data",
                     "S3Settings": {"BucketName": "lake", "DataFormat": "PARQUET", "MaxFileSize": 1000}},
  "ReplicationTask": {
    "ReplicationTaskIdentifier": "Shop-To-Lake",
    "MigrationType": "full-load-and-cdc",
    "TableMappings": {"rules": [{"rule-type": "selection"}]},
    "ReplicationTaskSettings": {"FullLoadSettings": {"MaxFullLoadSubTasks": 2}}}})";

boost::json::object document() { return parse_json(kDocument, "the document").get_object(); }

TaskDefinition parse(const boost::json::object& object) {
  return parse_task_document(boost::json::serialize(object));
}

// The document with one member of ReplicationTask set.
boost::json::object document_with(std::string_view member, boost::json::value value) {
  auto object = document();
  object["ReplicationTask"].get_object()[member] = std::move(value);
  return object;
}

std::string error_of(const boost::json::object& object) {
  try {
    parse(object);
  } catch (const base::Error& error) {
    return std::string(base::facts_of(error.kind()).code) + ": " + error.message();
  }
  return "";
}

TEST(TaskDefinition, ReadsADocument) {
  auto task = parse(document());
  EXPECT_EQ(task.identifier, "shop-to-lake");
  EXPECT_EQ(task.migration_type, MigrationType::kFullLoadAndCdc);
  EXPECT_EQ(to_string(task.migration_type), "full-load-and-cdc");
  EXPECT_EQ(task.source.engine_name, "postgres");
  EXPECT_EQ(task.target.endpoint_url, "file:///data");
  EXPECT_EQ(task.table_mappings, R"({"rules":[{"rule-type":"selection"}]})");
  EXPECT_EQ(task.settings.full_load.max_full_load_sub_tasks, 2);
  EXPECT_TRUE(task.settings.named("FullLoadSettings.MaxFullLoadSubTasks"));
  EXPECT_EQ(task.cdc_start_position, "");
  EXPECT_THAT(task.warnings, IsEmpty());
}

TEST(TaskDefinition, InnerDocumentsMayBeStrings) {
  auto object = document_with("TableMappings", R"( {"rules": []} )");
  object["ReplicationTask"].get_object()["ReplicationTaskSettings"] =
      R"({"ErrorBehavior": {"RecoverableErrorCount": 3}})";
  auto task = parse(object);
  EXPECT_EQ(task.table_mappings, R"( {"rules": []} )");
  EXPECT_EQ(task.settings.error_behavior.recoverable_error_count, 3);

  EXPECT_THAT(error_of(document_with("TableMappings", "{\n\"rules\" [")),
              HasSubstr("ReplicationTask.TableMappings cannot be read as JSON: line 2, column 9"));
  EXPECT_THAT(error_of(document_with("ReplicationTaskSettings", "{,")),
              HasSubstr("ReplicationTask.ReplicationTaskSettings cannot be read as JSON: line 1, column 2"));
  EXPECT_THAT(error_of(document_with("TableMappings", 7)), HasSubstr("neither an object nor a text"));
}

TEST(TaskDefinition, SettingsMayBeLeftOut) {
  for (const boost::json::value& value : {boost::json::value(nullptr), boost::json::value("")}) {
    auto task = parse(document_with("ReplicationTaskSettings", value));
    EXPECT_EQ(task_settings_json(task.settings), default_task_settings_json());
  }
}

TEST(TaskDefinition, ReadsADescribeReply) {
  auto object = document();
  auto& task = object["ReplicationTask"].get_object();
  for (auto member : {"ReplicationTaskArn", "Status", "StopReason", "SourceEndpointArn", "TargetEndpointArn",
                      "ReplicationInstanceArn", "LastFailureMessage", "RecoveryCheckpoint", "TaskData"}) {
    task[member] = "x";
  }
  task["ReplicationTaskCreationDate"] = 1700000000.5;
  task["ReplicationTaskStats"] = {{"FullLoadProgressPercent", 100}};
  task["CdcStartPosition"] = " checkpoint:V1#1 ";
  task["CdcStopPosition"] = nullptr;
  EXPECT_EQ(parse(object).cdc_start_position, "checkpoint:V1#1");
}

TEST(TaskDefinition, SaysWhatIsMissingOrWrong) {
  EXPECT_THAT(error_of(document_with("MigrationType", nullptr)),
              HasSubstr("ReplicationTask.MigrationType is missing"));
  EXPECT_THAT(error_of(document_with("MigrationType", "full")),
              HasSubstr("full-load, cdc, full-load-and-cdc"));
  EXPECT_THAT(error_of(document_with("TableMappings", nullptr)),
              HasSubstr("ReplicationTask.TableMappings is missing"));
  EXPECT_THAT(error_of(document_with("ReplicationTaskIdentifier", "")),
              HasSubstr("ReplicationTaskIdentifier is missing"));
  for (auto identifier : {"1a", "a--b", "a-", "a b", "a/../b", "ä"}) {
    EXPECT_THAT(error_of(document_with("ReplicationTaskIdentifier", identifier)),
                HasSubstr("The parameter ReplicationTaskIdentifier is not a valid identifier."));
  }
  EXPECT_THAT(error_of(document_with("ReplicationTaskIdentifier", boost::json::string(256, 'a'))),
              HasSubstr("not a valid"));
  EXPECT_EQ(error_of(document_with("ReplicationTaskIdentifier", boost::json::string(255, 'a'))), "");

  auto object = document();
  object.erase("TargetEndpoint");
  EXPECT_EQ(error_of(object), "document_invalid: TargetEndpoint is missing");
  object["TargetEndpoint"] = "x";
  EXPECT_THAT(error_of(object), HasSubstr("TargetEndpoint is \"x\", which is not an object"));
  EXPECT_THROW(parse_task_document("[]"), base::Error);
}

TEST(TaskDefinition, UnknownMembersAreRefusedByName) {
  EXPECT_EQ(error_of(document_with("MigrationTyp", "cdc")),
            "setting_unknown: ReplicationTask.MigrationTyp is not known");
  auto object = document();
  object["Source"] = nullptr;
  EXPECT_EQ(error_of(object), "setting_unknown: Source is not known");
  EXPECT_THAT(error_of(document_with("ReplicationTaskSettings", {{"FullLoad", nullptr}})),
              HasSubstr("setting_unknown"));
}

TEST(TaskDefinition, OneStartOnly) {
  auto object = document_with("CdcStartPosition", "4AF/B00000D0");
  object["ReplicationTask"].get_object()["CdcStartTime"] = "2024-01-02T03:04:05";
  EXPECT_THAT(error_of(object), HasSubstr("setting_conflict"));
}

TEST(TaskDefinition, WarningsOfTheEndpointsAreKept) {
  auto object = document();
  object["TargetEndpoint"].get_object()["ExtraConnectionAttributes"] = "unknownOne=1";
  EXPECT_THAT(parse(object).warnings,
              ElementsAre(AllOf(HasSubstr("TargetEndpoint"), HasSubstr("unknownOne"))));
}

TEST(DefinitionFingerprint, HoldsWhatMustNotChangeAndNoSecret) {
  EXPECT_EQ(definition_fingerprint(parse(document())),
            "ReplicationTask.MigrationType=\"full-load-and-cdc\"\n"
            "ReplicationTask.ReplicationTaskIdentifier=\"shop-to-lake\"\n"
            "ReplicationTask.TableMappings={\"rules\":[{\"rule-type\":\"selection\"}]}\n"
            "SourceEndpoint.DatabaseName=\"shop\"\n"
            "SourceEndpoint.EngineName=\"postgres\"\n"
            "SourceEndpoint.PostgreSQLSettings.SlotName=\"slot_1\"\n"
            "SourceEndpoint.ServerName=\"db\"\n"
            "TargetEndpoint.EndpointUrl=\"file:///data\"\n"
            "TargetEndpoint.EngineName=\"s3\"\n"
            "TargetEndpoint.S3Settings.BucketName=\"lake\"\n"
            "TargetEndpoint.S3Settings.DataFormat=\"parquet\"\n");
}

TEST(DefinitionFingerprint, SpellingAndTuningDoNotChangeIt) {
  auto object = document_with("TableMappings", "{\n \"rules\": [ {\"rule-type\": \"selection\"} ] }");
  object["ReplicationTask"].get_object()["ReplicationTaskSettings"] = nullptr;
  object["SourceEndpoint"].get_object()["Password"] = "another";
  object["SourceEndpoint"].get_object()["Username"] = "another";
  object["TargetEndpoint"].get_object()["S3Settings"].get_object()["DataFormat"] = "parquet";
  object["TargetEndpoint"].get_object()["S3Settings"].get_object()["MaxFileSize"] = 5;
  EXPECT_EQ(definition_fingerprint(parse(object)), definition_fingerprint(parse(document())));
}

TEST(DefinitionFingerprint, DifferencesAreNamed) {
  auto object = document_with("ReplicationTaskSettings", {{"TargetMetadata", {{"TargetSchema", "x"}}}});
  object["TargetEndpoint"].get_object()["S3Settings"].get_object()["BucketName"] = "other";
  object["SourceEndpoint"].get_object()["PostgreSQLSettings"] = nullptr;
  auto before = definition_fingerprint(parse(document()));
  auto after = definition_fingerprint(parse(object));
  EXPECT_THAT(
      differing_parts(before, after),
      ElementsAre("ReplicationTask.ReplicationTaskSettings.TargetMetadata.TargetSchema",
                  "SourceEndpoint.PostgreSQLSettings.SlotName", "TargetEndpoint.S3Settings.BucketName"));
  EXPECT_THAT(differing_parts(before, before), IsEmpty());
  EXPECT_THAT(after, Not(HasSubstr("s3cret")));
  EXPECT_THAT(after, Not(HasSubstr("ferry-user")));
}

}  // namespace
}  // namespace ferry::model
