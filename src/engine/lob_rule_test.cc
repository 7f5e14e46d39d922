#include "engine/lob_rule.h"

#include <arrow/api.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ferry::engine {
namespace {

using model::Cell;
using model::CellState;
using model::TypeId;

struct Counted : model::RowErrorSink {
  std::vector<model::DataWarning> warnings;
  void row_error(const model::RowError&) override { FAIL() << "a cut is no row error"; }
  void data_warning(const model::DataWarning& warning) override { warnings.push_back(warning); }
};

model::TaskSettings settings(std::string_view lobs) {
  return model::parse_task_settings("{\"TargetMetadata\": " + std::string(lobs) + "}",
                                    model::UnknownKeys::kRefuse);
}

const mapping::TableMapping kNoRules = mapping::TableMapping::select_all_of({});
const model::TableName kTable{.schema = "hr", .table = "t"};

mapping::TableMapping lob_settings(std::string_view settings) {
  std::string rules =
      R"({"rules": [{"rule-type": "selection", "rule-id": 1, "rule-action": "include",
                     "object-locator": {"schema-name": "%", "table-name": "%"}},
                    {"rule-type": "table-settings", "rule-id": 2,
                     "object-locator": {"schema-name": "hr", "table-name": "t"}, "lob-settings": )";
  return mapping::TableMapping::parse(rules + std::string(settings) + "}]}", mapping::Views::kLeftOut);
}

model::TableVersionPtr table() {
  auto version = std::make_shared<model::TableVersion>();
  version->name = kTable;
  version->columns = {{.name = "c", .type = {.id = TypeId::kClob}},
                      {.name = "id", .type = {.id = TypeId::kWstring}},
                      {.name = "b", .type = {.id = TypeId::kBlob}}};
  version->key = {1};
  version->identity = model::RowIdentity::kKey;
  return version;
}

std::string kilobytes(std::size_t count, char of = 'x') { return std::string(count * 1024, of); }

model::RecordBatch batch_of(const std::string& value) {
  arrow::StringBuilder texts;
  arrow::BinaryBuilder bytes;
  EXPECT_TRUE(texts.Append("short").ok() && texts.Append(value).ok() && texts.AppendNull().ok());
  EXPECT_TRUE(bytes.Append(value).ok() && bytes.Append("").ok() && bytes.AppendNull().ok());
  auto text = texts.Finish().ValueOrDie();
  auto version = table();
  return {.table = version,
          .rows = arrow::RecordBatch::Make(model::arrow_schema(*version), 3,
                                           {text, text, bytes.Finish().ValueOrDie()}),
          .out_of_domain = {{.row = 2, .column = 1, .text = "odd"}}};
}

TEST(LobRule, WholeValuesUnlessTheDocumentNamesALimit) {
  for (const char* lobs : {"{}", R"({"LobMaxSize": 0})", R"({"FullLobMode": true, "LobMaxSize": 1})"}) {
    LobRule rule(settings(lobs), kNoRules, LobRule::OnTruncation::kWarn);
    std::string value = kilobytes(40);
    EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kClob}, value), value.size()) << lobs;
  }
  LobRule limited(settings(R"({"LimitedSizeLobMode": true})"), kNoRules, LobRule::OnTruncation::kWarn);
  EXPECT_EQ(limited.kept_bytes(kTable, {.id = TypeId::kClob}, kilobytes(40)), 32U * 1024);
}

TEST(LobRule, CutsBetweenCharacters) {
  LobRule rule(settings(R"({"LobMaxSize": 1})"), kNoRules, LobRule::OnTruncation::kWarn);
  EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kBlob}, kilobytes(2, '\xA4')), 1024U);
  EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kClob}, kilobytes(1)), 1024U);
  std::string umlauts = "x";
  for (int i = 0; i < 1000; ++i) umlauts += "\xC3\xA4";
  EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kClob}, umlauts), 1023U);
  // An NCLOB counts two bytes for each unit of UTF-16, and such a character has two.
  EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kNclob}, umlauts), 1023U);
  EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kNclob}, kilobytes(2)), 512U);
  std::string wide = "x";
  for (int i = 0; i < 1000; ++i) wide += "\xF0\x9F\x98\x80";
  EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kNclob}, wide), 1U + 255 * 4);
  EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kWstring}, kilobytes(2)), 2048U) << "no LOB";
}

TEST(LobRule, LoadsAndChangesAreCutAlikeAndCounted) {
  std::string value = kilobytes(3);
  LobRule rule(settings(R"({"LobMaxSize": 1})"), kNoRules, LobRule::OnTruncation::kWarn);
  Counted load_errors;
  model::RecordBatch batch = rule.load_batch(batch_of(value), load_errors);
  ASSERT_TRUE(batch.rows->ValidateFull().ok());
  auto text = std::static_pointer_cast<arrow::StringArray>(batch.rows->column(0));
  auto key = std::static_pointer_cast<arrow::StringArray>(batch.rows->column(1));
  auto bytes = std::static_pointer_cast<arrow::BinaryArray>(batch.rows->column(2));
  EXPECT_EQ(text->GetView(0), "short");
  EXPECT_EQ(text->GetView(1), kilobytes(1));
  EXPECT_TRUE(text->IsNull(2));
  EXPECT_EQ(key->GetView(1), value);
  EXPECT_EQ(bytes->GetView(0), kilobytes(1));
  ASSERT_EQ(load_errors.warnings.size(), 2U);
  EXPECT_EQ(load_errors.warnings[0].what,
            "The value of column 'c' in table 'hr.t' was truncated to length 1024");

  model::TableVersionPtr version = table();
  std::vector<Cell> cells = {
      {CellState::kValue, value}, {CellState::kValue, value}, {CellState::kNotSent, {}}};
  model::Change change{.kind = model::ChangeKind::kUpdate, .table = &version, .after = cells};
  Counted errors;
  rule.apply(change, errors);
  EXPECT_EQ(*change.table, version);
  EXPECT_EQ(change.after[0].bytes, kilobytes(1));
  EXPECT_EQ(change.after[1].bytes, value);
  EXPECT_EQ(change.after[2].state, CellState::kNotSent) << "what was not sent is not NULL";
  EXPECT_EQ(errors.warnings.size(), 1U);
}

TEST(LobRule, ATablesOwnSettingsTakeThePlaceOfTheTasks) {
  struct Case {
    const char* task;
    const char* table;
    std::size_t of_table;
    std::size_t of_others;
  };
  const std::vector<Case> cases = {
      {"{}", R"({"mode": "limited", "bulk-max-size": 2})", 2048, 3072},
      {"{}", R"({"bulk-max-size": "2"})", 2048, 3072},
      {R"({"LobMaxSize": 1})", R"({"mode": "limited", "bulk-max-size": 2})", 2048, 1024},
      {R"({"LobMaxSize": 1})", R"({"mode": "unlimited", "bulk-max-size": 2})", 3072, 1024},
      {R"({"LobMaxSize": 1})", R"({"mode": "none", "bulk-max-size": 2})", 1024, 1024},
      {R"({"FullLobMode": true, "LobMaxSize": 1})", R"({"mode": "limited", "bulk-max-size": 2})", 2048, 3072},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(std::string(each.task) + " " + each.table);
    mapping::TableMapping rules = lob_settings(each.table);
    std::string value = kilobytes(3);
    LobRule rule(settings(each.task), rules, LobRule::OnTruncation::kWarn);
    EXPECT_EQ(rule.kept_bytes(kTable, {.id = TypeId::kBlob}, value), each.of_table);
    EXPECT_EQ(rule.kept_bytes({"hr", "T"}, {.id = TypeId::kBlob}, value), each.of_others);

    Counted errors;
    model::RecordBatch batch = rule.load_batch(batch_of(value), errors);
    EXPECT_EQ(std::static_pointer_cast<arrow::BinaryArray>(batch.rows->column(2))->GetView(0).size(),
              each.of_table);
    model::TableVersionPtr version = table();
    std::vector<Cell> cells = {{CellState::kNull, {}}, {CellState::kValue, "7"}, {CellState::kValue, value}};
    model::Change change{.kind = model::ChangeKind::kInsert, .table = &version, .after = cells};
    rule.apply(change, errors);
    EXPECT_EQ(change.after[2].bytes.size(), each.of_table);
  }
}

TEST(LobRule, ATableWithItsOwnSettingsKeepsItsLobColumnsWithoutSupportLobs) {
  mapping::TableMapping rules = lob_settings(R"({"mode": "unlimited"})");
  LobRule rule(settings(R"({"SupportLobs": false})"), rules, LobRule::OnTruncation::kWarn);
  model::TableVersionPtr version = table();
  EXPECT_EQ(rule.target_version(version), version);
  auto other = std::make_shared<model::TableVersion>(*version);
  other->name.table = "other";
  EXPECT_EQ(rule.target_version(other)->columns.size(), 1U);
}

TEST(LobRule, FailsTheTaskWhereAskedTo) {
  LobRule rule(settings(R"({"LobMaxSize": 1})"), kNoRules, LobRule::OnTruncation::kFail);
  Counted errors;
  EXPECT_THROW(rule.load_batch(batch_of(kilobytes(3)), errors), base::Error);
  EXPECT_NO_THROW(rule.load_batch(batch_of("short"), errors));
}

TEST(LobRule, WithoutSupportLobColumnsAreLeftOut) {
  LobRule rule(settings(R"({"SupportLobs": false})"), kNoRules, LobRule::OnTruncation::kWarn);
  Counted errors;
  model::RecordBatch batch = rule.load_batch(batch_of("v"), errors);
  ASSERT_EQ(batch.table->columns.size(), 1U);
  EXPECT_EQ(batch.table->columns[0].name, "id");
  EXPECT_EQ(batch.table->key, (std::vector<std::uint32_t>{0}));
  EXPECT_EQ(batch.rows->num_columns(), 1);
  ASSERT_EQ(batch.out_of_domain.size(), 1U);
  EXPECT_EQ(batch.out_of_domain[0].column, 0U);

  model::TableVersionPtr version = table();
  std::vector<Cell> cells = {{CellState::kValue, "c"}, {CellState::kValue, "7"}, {CellState::kNull, {}}};
  model::Change change{.kind = model::ChangeKind::kDelete, .table = &version, .before = cells};
  rule.apply(change, errors);
  ASSERT_EQ(change.before.size(), 1U);
  EXPECT_EQ(change.before[0].bytes, "7");
  EXPECT_TRUE(change.after.empty());
  EXPECT_EQ((*change.table)->columns.size(), 1U);
  EXPECT_TRUE(errors.warnings.empty());
}

}  // namespace
}  // namespace ferry::engine
