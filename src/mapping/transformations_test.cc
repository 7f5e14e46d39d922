#include "mapping/transformations.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "mapping/table_mapping.h"

namespace ferry::mapping {
namespace {

using model::TableName;
using testing::ElementsAre;
using testing::HasSubstr;

// A rule of the transformation kind; `locator` is "schema", "schema.table" or "schema.table.column".
std::string rule(int id, std::string_view action, std::string_view target, std::string_view locator,
                 std::string_view more = "", std::string_view data_type = "") {
  std::vector<std::string> parts(3);
  std::size_t part = 0;
  for (char c : locator) {
    if (c == '.') {
      ++part;
    } else {
      parts[part] += c;
    }
  }
  std::string place = fmt::format(R"("schema-name": "{}")", parts[0]);
  if (part > 0) place += fmt::format(R"(, "table-name": "{}")", parts[1]);
  if (part > 1) place += fmt::format(R"(, "column-name": "{}")", parts[2]);
  if (!data_type.empty()) place += fmt::format(R"(, "data-type": "{}")", data_type);
  return fmt::format(
      R"({{"rule-type": "transformation", "rule-id": "{}", "rule-action": "{}", "rule-target": "{}",
           "object-locator": {{{}}}{}}})",
      id, action, target, place, more);
}
std::string value(std::string_view text) { return fmt::format(R"(, "value": "{}")", text); }

TableMapping mapping_of(std::initializer_list<std::string> rules) {
  std::string json =
      R"({"rules": [{"rule-type": "selection", "rule-id": "1000", "rule-action": "include",
                     "object-locator": {"schema-name": "%", "table-name": "%"}})";
  for (const std::string& each : rules) json += ", " + each;
  return TableMapping::parse(json + "]}", Views::kLeftOut);
}

std::string name_of(std::initializer_list<std::string> rules, const TableName& table) {
  return model::to_string(mapping_of(rules).transformations().target_name(table));
}

model::TableVersion table_of(std::initializer_list<const char*> columns) {
  model::TableVersion table{.name = {"s", "t"}};
  for (const char* column : columns)
    table.columns.push_back({.name = column, .type = {.id = model::TypeId::kInt4}});
  return table;
}

std::vector<std::string> columns_of(std::initializer_list<std::string> rules,
                                    const model::TableVersion& table) {
  std::vector<std::string> names;
  for (const TargetColumn& column : mapping_of(rules).transformations().target_table(table).columns)
    names.push_back(column.name);
  return names;
}

// The numbers are the acceptance cases of DMS's mapping rules.

TEST(Transformations, Case23And24RenameSchemasAndTables) {
  EXPECT_EQ(name_of({rule(2, "rename", "schema", "Test", value("Test1"))}, {"Test", "A"}), "Test1.A");
  EXPECT_EQ(name_of({rule(2, "rename", "schema", "Test", value("Test1"))}, {"test", "A"}), "test.A");
  auto actor = rule(2, "rename", "table", "Test.Actor", value("Actor1"));
  EXPECT_EQ(name_of({actor}, {"Test", "Actor"}), "Test.Actor1");
  EXPECT_EQ(name_of({actor}, {"Test", "actor"}), "Test.actor");
  EXPECT_EQ(name_of({rule(2, "rename-table", "table", "Test.Actor", value("x"))}, {"Test", "Actor"}),
            "Test.x");
}

TEST(Transformations, Case25To28Columns) {
  EXPECT_THAT(columns_of({rule(4, "rename", "column", "s.t.first_name", value("fname"))},
                         table_of({"first_name", "b"})),
              ElementsAre("fname", "b"));
  EXPECT_THAT(
      columns_of({rule(2, "remove-column", "column", "s.t.col%")}, table_of({"col1", "colx", "name"})),
      ElementsAre("name"));
  EXPECT_THAT(columns_of({rule(2, "include-column", "column", "s.t.id"),
                          rule(3, "include-column", "column", "s.t.name")},
                         table_of({"id", "name", "age"})),
              ElementsAre("id", "name"));
  EXPECT_THAT(columns_of({rule(2, "convert-uppercase", "column", "%.%.%")}, table_of({"a", "b"})),
              ElementsAre("A", "B"));
}

TEST(Transformations, Case29To32PrefixesSuffixesAndWhichRuleWins) {
  EXPECT_EQ(name_of({rule(2, "add-prefix", "table", "%.%", value("DMS_"))}, {"s", "t"}), "s.DMS_t");
  EXPECT_EQ(name_of({rule(2, "add-suffix", "schema", "%", value("_x"))}, {"s", "t"}), "s_x.t");
  EXPECT_THAT(columns_of({rule(2, "replace-prefix", "column", "%.%.%",
                               R"(, "value": "NewPre_", "old-value": "Pre_")")},
                         table_of({"Pre_a", "b"})),
              ElementsAre("NewPre_a", "b"));
  EXPECT_THAT(
      columns_of({rule(2, "replace-suffix", "column", "%.%.%", R"(, "value": "_n", "old-value": "_o")")},
                 table_of({"a_o", "_o_b"})),
      ElementsAre("a_n", "_o_b"));
  auto without = rule(2, "remove-suffix", "table", "%.%", value("_DMS"));
  EXPECT_EQ(name_of({without}, {"s", "x_DMS"}), "s.x");
  EXPECT_EQ(name_of({without}, {"s", "x"}), "s.x");
  EXPECT_EQ(name_of({rule(3, "remove-prefix", "table", "%.%", value("a_"))}, {"s", "a_b"}), "s.b");
  // The lower rule-id, wherever it stands, and not the closer locator.
  EXPECT_EQ(name_of({rule(2, "rename", "table", "s.ACTOR", value("STAR")),
                     rule(1, "convert-lowercase", "table", "%.%")},
                    {"s", "ACTOR"}),
            "s.actor");
  EXPECT_EQ(
      name_of({rule(10, "rename", "schema", "s", value("x")), rule(9, "rename", "table", "s.t", value("y"))},
              {"s", "t"}),
      "x.y");
}

TEST(Transformations, ALocatorMayNameADataType) {
  model::TableVersion table = table_of({"a", "b"});
  table.columns[1].type.id = model::TypeId::kBlob;
  EXPECT_THAT(columns_of({rule(2, "remove-column", "column", "s.t.%", "", "blob")}, table), ElementsAre("a"));
  EXPECT_THROW(mapping_of({rule(2, "remove-column", "column", "s.t.%", "", "tet")}), base::Error);
}

TEST(Transformations, RefusesWhatNoTableCanBe) {
  auto refusal = [](std::initializer_list<std::string> rules,
                    const model::TableVersion& table) -> std::string {
    try {
      columns_of(rules, table);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kTargetTable);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal({rule(2, "convert-lowercase", "column", "%.%.%")}, table_of({"ID", "id"})),
              HasSubstr("columns ID and id would both be id"));
  EXPECT_THAT(refusal({rule(2, "remove-column", "column", "%.%.%")}, table_of({"a"})),
              HasSubstr("none of its columns"));
  EXPECT_THAT(refusal({rule(2, "remove-prefix", "column", "%.%.%", value("a"))}, table_of({"a"})),
              HasSubstr("nothing is left of the name of its column a"));
  EXPECT_THAT(refusal({rule(2, "remove-prefix", "table", "%.%", value("t"))}, table_of({"a"})),
              HasSubstr("nothing is left of its name"));
}

TEST(Transformations, TellsOfRulesAboutNoTable) {
  auto mapping = mapping_of(
      {rule(2, "rename", "column", "s.t.a", value("b")), rule(3, "rename", "schema", "s", value("x"))});
  EXPECT_THAT(mapping.unmatched_rules(std::vector<ListedTable>{{.name = {"s", "u"}}}),
              ElementsAre("rule 2 (rename of the column s.t.a) matches no table"));
}

}  // namespace
}  // namespace ferry::mapping
