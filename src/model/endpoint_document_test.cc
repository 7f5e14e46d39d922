#include "model/endpoint_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ferry::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

EndpointDocument source(std::string_view json) {
  return parse_endpoint_document(json, EndpointRole::kSource);
}
EndpointDocument target(std::string_view json) {
  return parse_endpoint_document(json, EndpointRole::kTarget);
}

std::string error_of(std::string_view json, EndpointRole role = EndpointRole::kSource) {
  try {
    parse_endpoint_document(json, role);
  } catch (const base::Error& error) {
    return std::string(base::facts_of(error.kind()).code) + ": " + error.message();
  }
  return "";
}

// The text of an S3 target with these extra connection attributes.
EndpointDocument s3_with_attributes(const std::string& attributes) {
  return target(R"({"EngineName": "s3", "ExtraConnectionAttributes": ")" + attributes + R"("})");
}

TEST(EndpointDocument, ReadsTheShapeOfCreateEndpoint) {
  auto [endpoint, warnings] = source(R"({
    "EndpointIdentifier": "Shop-PG", "EndpointType": "source", "EngineName": "Postgres", "ServerName": "db.example",
    "Port": 5433, "DatabaseName": "shop", "Username": "ferry", "Password": "s3cret", "SslMode": "verify-full",
    "PostgreSQLSettings": {"SlotName": "ferry_1", "ExecuteTimeout": 30, "CaptureDdls": true},
    "ExtraConnectionAttributes": "pluginName=test_decoding;executeTimeout=90;"})");
  EXPECT_EQ(endpoint.identifier, "shop-pg");
  EXPECT_EQ(to_string(endpoint), "postgres at db.example:5433/shop");
  EXPECT_EQ(endpoint.username, "ferry");
  EXPECT_EQ(endpoint.password.reveal(), "s3cret");
  EXPECT_EQ(endpoint.ssl_mode, "verify-full");
  SettingReader settings(endpoint, EndpointRole::kSource);
  EXPECT_EQ(settings.text("SlotName"), "ferry_1");
  EXPECT_EQ(settings.choice("PluginName"), "test-decoding");
  EXPECT_EQ(settings.integer("ExecuteTimeout"), 90);
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(EndpointDocument, ReadsADescribeReply) {
  auto [endpoint, warnings] = target(R"({
    "EndpointIdentifier": "lake", "EndpointType": "TARGET", "EngineName": "s3", "EngineDisplayName": "Amazon S3",
    "ExtraConnectionAttributes": "", "Status": "active", "KmsKeyId": null, "SslMode": "none",
    "EndpointArn": "arn:aws:dms:eu-central-1:1:endpoint:X", "ServiceAccessRoleArn": "arn:aws:iam::1:role/x",
    "ExternalTableDefinition": "", "Tags": [{"Key": "a", "Value": "b"}], "PostgreSQLSettings": null, "KafkaSettings": {},
    "S3Settings": {"BucketName": "b", "CsvRowDelimiter": "\\n", "CsvDelimiter": ",", "MaxFileSize": 1024,
                   "EnableStatistics": true, "ExternalTableDefinition": null, "DataFormat": "parquet"}})");
  SettingReader settings(endpoint, EndpointRole::kTarget);
  EXPECT_EQ(settings.text("BucketName"), "b");
  EXPECT_EQ(settings.integer("MaxFileSize"), 1024);
  EXPECT_EQ(settings.choice("DataFormat"), "parquet");
  EXPECT_FALSE(settings.named("ExternalTableDefinition"));
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(EndpointDocument, MembersMayStandInTheSettingsBlock) {
  auto [endpoint, warnings] = source(R"({"EngineName": "postgres", "PostgreSQLSettings": {
    "ServerName": "h", "Port": 6000, "DatabaseName": "d", "Username": "u", "Password": "p"}})");
  EXPECT_EQ(to_string(endpoint), "postgres at h:6000/d");
  EXPECT_EQ(endpoint.username, "u");
  EXPECT_EQ(endpoint.password.reveal(), "p");
  EXPECT_THAT(endpoint.settings, IsEmpty());
  EXPECT_EQ(endpoint.identifier, "source");
}

TEST(EndpointDocument, MembersGivenTwiceHaveToAgree) {
  EXPECT_EQ(error_of(R"({"EngineName": "postgres", "Port": 5432, "PostgreSQLSettings": {"Port": 5432}})"),
            "");
  EXPECT_EQ(
      error_of(R"({"EngineName": "postgres", "ServerName": "", "PostgreSQLSettings": {"ServerName": "h"}})"),
      "");
  EXPECT_EQ(
      error_of(R"({"EngineName": "postgres", "ServerName": "a", "PostgreSQLSettings": {"ServerName": "b"}})"),
      "setting_conflict: SourceEndpoint.ServerName and SourceEndpoint.PostgreSQLSettings.ServerName are "
      "given and "
      "differ");
  auto conflict = error_of(
      R"({"EngineName": "postgres", "Password": "first", "PostgreSQLSettings": {"Password": "second"}})");
  EXPECT_THAT(conflict, HasSubstr("setting_conflict"));
  EXPECT_THAT(conflict, Not(HasSubstr("first")));
  EXPECT_THAT(conflict, Not(HasSubstr("second")));
}

TEST(EndpointDocument, UnknownNamesAreRefused) {
  EXPECT_EQ(error_of(R"({"EngineName": "postgres", "Server": "h"})"),
            "setting_unknown: SourceEndpoint.Server is not known");
  EXPECT_EQ(error_of(R"({"EngineName": "s3", "S3Settings": {"Bucket": "b"}})"),
            "setting_unknown: SourceEndpoint.S3Settings.Bucket is not known");
  EXPECT_EQ(error_of(R"({"EngineName": "s3", "S3Settings": {"parquetCompression": "zstd"}})"),
            "setting_unknown: SourceEndpoint.S3Settings.parquetCompression is not known");
  EXPECT_THAT(
      error_of(R"({"EngineName": "postgres", "S3Settings": {"BucketName": "b"}})"),
      HasSubstr("setting_conflict: SourceEndpoint.S3Settings is given, but EngineName is \"postgres\""));
}

TEST(EndpointDocument, BadValuesAreRefused) {
  EXPECT_THAT(error_of("{}"), HasSubstr("SourceEndpoint.EngineName is missing"));
  EXPECT_THAT(error_of("[]"), HasSubstr("SourceEndpoint is not a JSON object"));
  EXPECT_THAT(error_of("{\"EngineName\":"),
              HasSubstr("the source endpoint's document cannot be read as JSON: line 1"));
  EXPECT_THAT(error_of(R"({"EngineName": "s3", "EndpointType": "target"})"),
              HasSubstr("which is not source"));
  EXPECT_THAT(error_of(R"({"EngineName": "postgres", "Port": 65536})"),
              HasSubstr("SourceEndpoint.Port is \"65536\""));
  EXPECT_THAT(error_of(R"({"EngineName": "postgres", "PostgreSQLSettings": {"Port": -1}})"),
              HasSubstr("SourceEndpoint.PostgreSQLSettings.Port is \"-1\""));
  EXPECT_THAT(error_of(R"({"EngineName": "postgres", "SslMode": "prefer"})"),
              HasSubstr("none, require, verify-ca"));
  EXPECT_THAT(error_of(R"({"EngineName": "postgres", "ServerName": "a\u0000b"})"), HasSubstr("NUL"));
  EXPECT_THAT(error_of(R"({"EngineName": "postgres", "ServerName": ["a"]})"),
              HasSubstr("which is not a text"));
  EXPECT_THAT(error_of(R"({"EngineName": "s3", "S3Settings": {"MaxFileSize": {}}})"),
              HasSubstr("which is not a text"));
  EXPECT_THAT(error_of(R"({"EngineName": "s3", "S3Settings": "x"})"), HasSubstr("which is not an object"));
  EXPECT_THAT(error_of(R"({"EngineName": "s3", "S3Settings": {"DataFormat": "orc"}})"),
              HasSubstr("csv, parquet"));
  EXPECT_THAT(error_of(R"({"EngineName": "postgres", "Password": {"is": "hidden"}})"),
              Not(HasSubstr("hidden")));
}

TEST(EndpointDocument, AttributesWinOverTheBlock) {
  auto document = target(R"({"EngineName": "s3", "S3Settings": {"DataFormat": "parquet", "CsvDelimiter": ";"},
                             "ExtraConnectionAttributes": "dataFormat=csv;csvDelimiter="})");
  SettingReader settings(document.endpoint, EndpointRole::kTarget);
  EXPECT_EQ(settings.choice("DataFormat"), "csv");
  EXPECT_EQ(settings.text("CsvDelimiter"), ";");
}

TEST(EndpointDocument, UnknownAttributesAreNamedInAWarningWithoutTheirValue) {
  auto document = s3_with_attributes("noSuchThing=s3cret;addColumnName=true");
  EXPECT_THAT(
      document.warnings,
      ElementsAre(
          "TargetEndpoint: the extra connection attribute \"noSuchThing\" is not known and has no effect"));
  EXPECT_EQ(document.endpoint.settings.size(), 1u);
}

TEST(EndpointDocument, EnginesWithoutAListKeepTheirAttributes) {
  auto document = source(R"({"EngineName": "memory", "ExtraConnectionAttributes": "Rows=3"})");
  ASSERT_NE(document.endpoint.find_setting("rows"), nullptr);
  EXPECT_EQ(document.endpoint.find_setting("rows")->value, "3");
}

TEST(EndpointDocument, FerrysOwnMembers) {
  auto document =
      target(R"({"EngineName": "s3", "EndpointUrl": "file:///data", "CertificatePem": "-----BEGIN",
                             "CertificateArn": "arn:aws:dms:x"})");
  EXPECT_EQ(document.endpoint.endpoint_url, "file:///data");
  EXPECT_EQ(document.endpoint.certificate_pem, "-----BEGIN");
  EXPECT_THAT(document.warnings, ElementsAre(HasSubstr("CertificateArn has no effect")));
}

// Strings that people really gave to DMS.
TEST(ExtraConnectionAttributes, RealStringsAreRead) {
  auto first = s3_with_attributes(
      "DataFormat=parquet;maxFileSize=131072;timestampColumnName=extracted_at;includeOpForFullLoad=true;"
      "cdcMaxBatchinterval=120");
  SettingReader settings(first.endpoint, EndpointRole::kTarget);
  EXPECT_EQ(settings.choice("DataFormat"), "parquet");
  EXPECT_EQ(settings.integer("MaxFileSize"), 131072);
  EXPECT_EQ(settings.text("TimestampColumnName"), "extracted_at");
  EXPECT_TRUE(settings.boolean("IncludeOpForFullLoad"));
  EXPECT_EQ(settings.integer("CdcMaxBatchInterval"), 120);
  EXPECT_THAT(first.warnings, IsEmpty());

  auto second =
      s3_with_attributes("dataFormat=parquet;includeOpForFullLoad=true;;parquetTimestampInMillisecond=true;");
  EXPECT_TRUE(SettingReader(second.endpoint, EndpointRole::kTarget).boolean("ParquetTimestampInMillisecond"));
  EXPECT_THAT(second.warnings, IsEmpty());

  auto third = s3_with_attributes(
      "bucketname=b;csvrowdelimiter=\\\\n;compressiontype=NONE;csvdelimiter=,;"
      "cannedAclForObjects=BUCKET_OWNER_FULL_CONTROL;");
  SettingReader csv(third.endpoint, EndpointRole::kTarget);
  EXPECT_EQ(decode_delimiter(csv.text("CsvRowDelimiter")), "\n");
  EXPECT_EQ(csv.text("CsvDelimiter"), ",");
  EXPECT_EQ(csv.choice("CannedAclForObjects"), "bucket-owner-full-control");

  auto fourth = s3_with_attributes(
      "DatePartitionEnabled=true;DatePartitionSequence=yyyymmddhh;DatePartitionDelimiter=SLASH");
  SettingReader partitions(fourth.endpoint, EndpointRole::kTarget);
  EXPECT_TRUE(partitions.boolean("DatePartitionEnabled"));
  EXPECT_EQ(partitions.choice("DatePartitionSequence"), "YYYYMMDDHH");
}

TEST(ExtraConnectionAttributes, GrammarIsTolerant) {
  auto names_and_values = [](std::string_view text) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const auto& attribute : parse_extra_connection_attributes(text).attributes) {
      pairs.emplace_back(attribute.name, attribute.value);
    }
    return pairs;
  };
  using testing::Pair;
  EXPECT_THAT(names_and_values(""), IsEmpty());
  EXPECT_THAT(names_and_values(";; ;"), IsEmpty());
  EXPECT_THAT(names_and_values("a=b=c; d = e "), ElementsAre(Pair("a", "b=c"), Pair("d", " e ")));
  EXPECT_THAT(names_and_values("a="), ElementsAre(Pair("a", "")));
  EXPECT_THAT(names_and_values("cdcPath=undefined;a=1"), ElementsAre(Pair("a", "1")));
  EXPECT_THAT(names_and_values("=1;b"), IsEmpty());
  EXPECT_EQ(parse_extra_connection_attributes("=1;b;").warnings.size(), 2u);
  EXPECT_THAT(parse_extra_connection_attributes("=secret").warnings, ElementsAre(Not(HasSubstr("secret"))));
}

}  // namespace
}  // namespace ferry::model
