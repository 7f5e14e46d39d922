#include "model/endpoint_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "model/ascii_text.h"

namespace ferry::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Endpoint endpoint_with(std::string engine,
                       std::initializer_list<std::pair<std::string, std::string>> settings) {
  Endpoint endpoint;
  endpoint.identifier = "here";
  endpoint.engine_name = std::move(engine);
  for (const auto& [name, value] : settings) {
    endpoint.settings[to_lower(name)] = {
        .name = name, .value = value, .from = EndpointSetting::From::kSettings};
  }
  return endpoint;
}

SettingReader s3_target(std::initializer_list<std::pair<std::string, std::string>> settings) {
  return SettingReader(endpoint_with("s3", settings), EndpointRole::kTarget);
}

std::string error_of(const Endpoint& endpoint, EndpointRole role = EndpointRole::kTarget) {
  try {
    SettingReader reader(endpoint, role);
  } catch (const base::Error& error) {
    return std::string(base::facts_of(error.kind()).code) + ": " + error.message();
  }
  return "";
}

TEST(EndpointSettingsFile, StatesEverySettingOnceAndSoundly) {
  for (const auto& engine : all_engine_settings()) {
    std::set<std::string> names;
    for (const auto& facts : engine.settings) {
      EXPECT_TRUE(names.insert(to_lower(facts.name)).second) << facts.name;
      EXPECT_TRUE(facts.for_source || facts.for_target) << facts.name;
      using Type = EndpointSettingFacts::Type;
      if (facts.type == Type::kInteger || facts.type == Type::kIntegerOrZero) {
        auto value = std::stoll(facts.default_value);
        EXPECT_TRUE(value >= facts.min && value <= facts.max) << facts.name;
      }
      EXPECT_EQ(facts.choices.empty(), facts.type != Type::kChoice) << facts.name;
    }
    // The defaults pass their own checks.
    for (auto role : {EndpointRole::kSource, EndpointRole::kTarget}) {
      Endpoint endpoint = endpoint_with(engine.engine_names.front(), {});
      EXPECT_NO_THROW(SettingReader(endpoint, role)) << engine.block;
    }
  }
}

TEST(EndpointSettingsFile, HasEverySettingOfTheApi) {
  EXPECT_EQ(find_engine_settings("s3")->settings.size(), 44u);
  EXPECT_EQ(find_engine_settings("AURORA-POSTGRESQL"), find_engine_settings("postgres"));
  EXPECT_EQ(find_engine_settings_by_block("S3Settings"), find_engine_settings("s3"));
  EXPECT_EQ(find_engine_settings("db2"), nullptr);
}

TEST(SettingReader, GivesDmsDefaults) {
  auto reader = s3_target({});
  EXPECT_EQ(reader.text("CsvDelimiter"), ",");
  EXPECT_EQ(reader.text("CsvRowDelimiter"), "\\n");
  EXPECT_EQ(reader.text("CsvNullValue"), "");
  EXPECT_EQ(reader.choice("DataFormat"), "csv");
  EXPECT_EQ(reader.choice("parquetCompression"), "");
  EXPECT_EQ(reader.integer("CdcMaxBatchInterval"), 60);
  EXPECT_TRUE(reader.boolean("Rfc4180"));
  EXPECT_FALSE(reader.boolean("AddColumnName"));
  EXPECT_FALSE(reader.named("Rfc4180"));
  EXPECT_THAT(reader.warnings(), IsEmpty());
}

TEST(SettingReader, ReadsValuesInEverySpellingOfDms) {
  auto reader = s3_target({{"DATAFORMAT", "Parquet"},
                           {"parquetversion", "PARQUET_2_0"},
                           {"CannedAclForObjects", "BUCKET_OWNER_FULL_CONTROL"},
                           {"datePartitionSequence", "yyyymmddhh"},
                           {"AddColumnName", "Y"},
                           {"Rfc4180", "0"},
                           {"EnableStatistics", " FALSE "},
                           {"MaxFileSize", "131072"},
                           {"CompressionType", "NONE"}});
  EXPECT_EQ(reader.choice("DataFormat"), "parquet");
  EXPECT_EQ(reader.choice("ParquetVersion"), "parquet-2-0");
  EXPECT_EQ(reader.choice("CannedAclForObjects"), "bucket-owner-full-control");
  EXPECT_EQ(reader.choice("DatePartitionSequence"), "YYYYMMDDHH");
  EXPECT_TRUE(reader.boolean("AddColumnName"));
  EXPECT_FALSE(reader.boolean("Rfc4180"));
  EXPECT_FALSE(reader.boolean("EnableStatistics"));
  EXPECT_EQ(reader.integer("MaxFileSize"), 131072);
  EXPECT_TRUE(reader.named("CompressionType"));
}

TEST(SettingReader, EmptyValuesCountAsNotGivenExceptForFreeTexts) {
  auto reader = s3_target(
      {{"MaxFileSize", ""}, {"Rfc4180", ""}, {"DataFormat", ""}, {"CsvDelimiter", ""}, {"CsvNullValue", ""}});
  EXPECT_EQ(reader.integer("MaxFileSize"), 1048576);
  EXPECT_EQ(reader.text("CsvDelimiter"), ",");
  EXPECT_FALSE(reader.named("DataFormat"));
  EXPECT_TRUE(reader.named("CsvNullValue"));
}

TEST(SettingReader, ZeroIsTheDefaultWhereDmsSaysSo) {
  SettingReader reader(endpoint_with("postgres", {{"ExecuteTimeout", "0"}}), EndpointRole::kSource);
  EXPECT_EQ(reader.integer("ExecuteTimeout"), 60);
  EXPECT_FALSE(reader.named("ExecuteTimeout"));
}

TEST(SettingReader, NamesEndpointSettingValueAndWhatIsAllowed) {
  EXPECT_EQ(error_of(endpoint_with("s3", {{"MaxFileSize", "1,048,576"}})),
            "document_invalid: target endpoint 'here' (s3): setting MaxFileSize is \"1,048,576\", which is "
            "not an integer "
            "from 1 to 1048576");
  EXPECT_THAT(error_of(endpoint_with("s3", {{"MaxFileSize", "0"}})), HasSubstr("from 1 to 1048576"));
  EXPECT_THAT(error_of(endpoint_with("s3", {{"MaxFileSize", "99999999999999999999"}})),
              HasSubstr("from 1 to"));
  EXPECT_THAT(error_of(endpoint_with("s3", {{"DataFormat", "avro"}})),
              HasSubstr("which is not one of csv, parquet"));
  EXPECT_THAT(error_of(endpoint_with("s3", {{"Rfc4180", "maybe"}})), HasSubstr("which is not true or false"));
  EXPECT_THAT(error_of(endpoint_with("s3", {{"BucketFolder", std::string("a\0b", 3)}})),
              HasSubstr("without NUL"));
  EXPECT_THAT(error_of(endpoint_with("s3", {{"Bucket", "b"}})), HasSubstr("setting_unknown"));
  EXPECT_THAT(error_of(endpoint_with("postgres", {{"password", "b"}})), HasSubstr("setting_unknown"));
  EXPECT_THAT(error_of(endpoint_with("db2", {})), HasSubstr("unsupported"));
}

TEST(SettingReader, RefusesWhatWouldDoHarmIfItWereIgnored) {
  EXPECT_THAT(error_of(endpoint_with("postgres", {{"DatabaseMode", "babelfish"}})), HasSubstr("unsupported"));
  EXPECT_EQ(error_of(endpoint_with("postgres", {{"DatabaseMode", "DEFAULT"}})), "");
}

TEST(SettingReader, WarnsOfSettingsWithoutEffect) {
  EXPECT_THAT(
      s3_target(
          {{"GlueCatalogGeneration", "true"}, {"IgnoreHeaderRows", "1"}, {"ExternalTableDefinition", ""}})
          .warnings(),
      ElementsAre("target endpoint 'here' (s3): setting IgnoreHeaderRows has no effect on a target",
                  "target endpoint 'here' (s3): setting GlueCatalogGeneration has no effect in this version "
                  "of Ferry"));
  EXPECT_THAT(s3_target({{"GlueCatalogGeneration", "false"}, {"IgnoreHeaderRows", "0"}}).warnings(),
              IsEmpty());
}

TEST(SettingReader, AskingForTheWrongThingIsAMistake) {
  auto reader = s3_target({});
  EXPECT_THROW(reader.text("Nothing"), base::Error);
  EXPECT_THROW(reader.boolean("BucketName"), base::Error);
}

TEST(SettingReader, FixedSettingsAreThoseAwayFromTheirDefault) {
  EXPECT_THAT(
      s3_target({{"BucketName", "b\n"}, {"dataFormat", "CSV"}, {"MaxFileSize", "7"}}).fixed_between_runs(),
      ElementsAre("BucketName=\"b\\n\""));
}

TEST(DecodeDelimiter, OnceTwiceAndNotEscapedMeanTheSame) {
  for (auto text : {"\n", "\\n", "\\\\n"}) EXPECT_EQ(decode_delimiter(text), "\n") << text;
  for (auto text : {"\r\n", "\\r\\n", "\\\\r\\\\n"}) EXPECT_EQ(decode_delimiter(text), "\r\n") << text;
  EXPECT_EQ(decode_delimiter("\\t"), "\t");
  EXPECT_EQ(decode_delimiter("|"), "|");
  EXPECT_EQ(decode_delimiter("||n"), "||n");
  EXPECT_EQ(decode_delimiter(""), "");
}

TEST(DecodeDelimiter, OtherBackslashesStay) {
  EXPECT_EQ(decode_delimiter("\\"), "\\");
  EXPECT_EQ(decode_delimiter("\\\\"), "\\");
  EXPECT_EQ(decode_delimiter("\\N"), "\\N");
  EXPECT_EQ(decode_delimiter("\\|\\t"), "\\|\t");
}

}  // namespace
}  // namespace ferry::model
