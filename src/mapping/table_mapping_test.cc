#include "mapping/table_mapping.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ferry::mapping {
namespace {

using base::ErrorKind;
using model::TableKind;
using testing::ElementsAre;
using testing::HasSubstr;

// One selection rule as JSON; `more` is put behind its members.
std::string selection(int id, std::string_view schema, std::string_view table, std::string_view action,
                      std::string_view more = "", std::string_view locator_more = "") {
  return R"({"rule-type": "selection", "rule-id": ")" + std::to_string(id) +
         R"(", "rule-name": "r", "rule-action": ")" + std::string(action) +
         R"(", "object-locator": {"schema-name": ")" + std::string(schema) + R"(", "table-name": ")" +
         std::string(table) + "\"" + std::string(locator_more) + "}" + std::string(more) + "}";
}

std::string document(std::initializer_list<std::string> rules) {
  std::string text;
  for (const auto& rule : rules) text += (text.empty() ? "" : ",\n") + rule;
  return "{\"rules\": [" + text + "]}";
}

TableMapping parse(std::initializer_list<std::string> rules, Views views = Views::kLoaded) {
  return TableMapping::parse(document(rules), views);
}

bool selects_table(const TableMapping& mapping, const std::string& schema, const std::string& table) {
  return mapping.selects({schema, table}, TableKind::kTable);
}

// "code: what()" of what parsing throws.
std::string error_of_text(std::string_view json) {
  try {
    TableMapping::parse(json, Views::kLoaded);
  } catch (const base::Error& error) {
    return std::string(base::facts_of(error.kind()).code) + ": " + error.what();
  }
  return "";
}
std::string error_of(std::initializer_list<std::string> rules) { return error_of_text(document(rules)); }

// The message that AWS gives for rule 2, beside a good rule 1.
std::string reason_of(const std::string& second_rule) {
  auto error = error_of({selection(1, "s", "%", "include"), second_rule});
  std::string envelope = "mapping_invalid: Error in mapping rules. Rule with ruleId = 2 failed validation. ";
  if (!error.starts_with(envelope)) return "no such error, but: " + error;
  std::string rest = error.substr(envelope.size());
  auto remedy = rest.find(" Correct TableMappings");
  return rest.substr(0, remedy);
}

// Acceptance cases 1 to 8 of DMS's selection rules.
TEST(TableMapping, IncludeTakesTheTablesOfItsSchema) {
  auto mapping = parse({selection(1, "Test", "%", "include")});
  EXPECT_TRUE(selects_table(mapping, "Test", "A"));
  EXPECT_TRUE(selects_table(mapping, "Test", "B"));
  EXPECT_FALSE(selects_table(mapping, "Other", "C"));
}

TEST(TableMapping, ExcludeWinsWhateverTheOrder) {
  auto include = selection(1, "Test", "%", "include");
  auto exclude = selection(2, "Test", "DMS%", "exclude");
  for (const auto& mapping : {parse({include, exclude}), parse({exclude, include})}) {
    EXPECT_TRUE(selects_table(mapping, "Test", "A"));
    EXPECT_FALSE(selects_table(mapping, "Test", "DMSx"));
  }
}

TEST(TableMapping, ExplicitIsOneTable) {
  auto mapping =
      parse({selection(1, "NewCust", "Customer", "explicit"), selection(2, "s", "order_items", "explicit")});
  EXPECT_TRUE(selects_table(mapping, "NewCust", "Customer"));
  EXPECT_FALSE(selects_table(mapping, "NewCust", "customer"));
  EXPECT_TRUE(selects_table(mapping, "s", "order_items"));
  EXPECT_FALSE(selects_table(mapping, "s", "orderXitems"));
  EXPECT_THAT(reason_of(selection(2, "%", "cust%", "explicit")),
              HasSubstr("Exact schema and table name required"));
}

TEST(TableMapping, Wildcards) {
  auto one = parse({selection(1, "s", "T_1", "include")});
  EXPECT_TRUE(selects_table(one, "s", "T_1") && selects_table(one, "s", "TX1"));
  EXPECT_FALSE(selects_table(one, "s", "T11a"));
  auto literal = parse({selection(1, "s", "T[_]1", "include")});
  EXPECT_TRUE(selects_table(literal, "s", "T_1"));
  EXPECT_FALSE(selects_table(literal, "s", "TX1"));
  auto range = parse({selection(1, "s", "T[a-c]%", "include")});
  EXPECT_TRUE(selects_table(range, "s", "Ta") && selects_table(range, "s", "Tbz"));
  EXPECT_FALSE(selects_table(range, "s", "Td"));
}

// Acceptance cases 10 and 11.
TEST(TableMapping, TableTypeSaysWhetherViewsAreTaken) {
  auto views = parse({selection(1, "r", "%", "include", "", R"(, "table-type": "view")")});
  EXPECT_FALSE(views.selects({"r", "t"}, TableKind::kTable));
  EXPECT_TRUE(views.selects({"r", "v"}, TableKind::kView));
  auto by_default = parse({selection(1, "r", "%", "include")});
  EXPECT_FALSE(by_default.selects({"r", "v"}, TableKind::kView));
}

TEST(TableMapping, TasksWithChangesCarryNoViews) {
  auto rule = selection(1, "r", "%", "include", "", R"(, "table-type": "all")");
  EXPECT_TRUE(parse({rule}, Views::kLoaded).selects({"r", "v"}, TableKind::kView));
  EXPECT_FALSE(parse({rule}, Views::kLeftOut).selects({"r", "v"}, TableKind::kView));
  EXPECT_TRUE(parse({rule}, Views::kLeftOut).selects({"r", "t"}, TableKind::kTable));
}

// Acceptance case 12.
TEST(TableMapping, LoadOrderIsTheLargestOfTheMatchingRules) {
  auto mapping = parse({selection(1, "s", "a", "include", R"(, "load-order": 1)"),
                        selection(2, "s", "b", "include", R"(, "load-order": "2")"),
                        selection(3, "s", "%", "include", R"(, "load-order": null)"),
                        selection(4, "s", "c", "exclude", R"(, "load-order": 9)")});
  EXPECT_EQ(mapping.load_order({"s", "a"}), 1);
  EXPECT_EQ(mapping.load_order({"s", "b"}), 2);
  EXPECT_EQ(mapping.load_order({"s", "c"}), 0);
  EXPECT_THAT(reason_of(selection(2, "s", "a", "include", R"(, "load-order": 2147483648)")),
              HasSubstr("2147483647"));
  EXPECT_THAT(reason_of(selection(2, "s", "a", "include", R"(, "load-order": -1)")), HasSubstr("load-order"));
}

// Acceptance case 22.
TEST(TableMapping, FiltersOfAnExcludeRuleAreIgnored) {
  auto mapping = parse({selection(1, "s", "%", "include"),
                        selection(2, "s", "a", "exclude", R"(, "filters": [{"filter-type": "source"}])")});
  EXPECT_FALSE(selects_table(mapping, "s", "a"));
}

// Acceptance case 42.
TEST(TableMapping, TableSettingsNeedExactNames) {
  EXPECT_EQ(
      reason_of(
          R"({"rule-type": "table-settings", "rule-id": "2", "object-locator": {"schema-name": "s", "table-name": "%"},
                          "parallel-load": {"type": "none"}})"),
      "Exact schema and table name required when using table settings rule.");
}

TEST(TableMapping, ControlTablesAreNeverSelected) {
  auto mapping = parse({selection(1, "%", "%", "include")});
  EXPECT_FALSE(selects_table(mapping, "public", "awsdms_status"));
  EXPECT_FALSE(selects_table(mapping, "public", "AWSDMS_STATUS"));
  EXPECT_TRUE(selects_table(mapping, "public", "awsdms"));
}

TEST(TableMapping, NamesRulesThatMatchNothing) {
  auto mapping = parse({selection(1, "s", "a%", "include"), selection(2, "s", "b", "exclude"),
                        selection(3, "t", "x", "explicit")});
  std::vector<ListedTable> tables = {{.name = {"s", "abc"}}};
  EXPECT_THAT(mapping.unmatched_rules(tables),
              ElementsAre("rule 2 (exclude s.b) matches no table", "rule 3 (explicit t.x) matches no table"));
}

TEST(TableMapping, ConsolesNullsAndNumbersAreLetThrough) {
  auto mapping = TableMapping::parse(
      R"({"rules": [{"rule-type": "selection", "rule-id": 1, "rule-name": null, "rule-action": "include", "filters": [],
          "load-order": null, "value": null, "unknown": {"a": 1}, "object-locator": {"schema-name": "s", "table-name": "%",
          "table-type": null}}], "more": 1})",
      Views::kLoaded);
  EXPECT_TRUE(selects_table(mapping, "s", "t"));
}

TEST(TableMapping, DocumentsThatAreNoneAreRefusedInAwssWords) {
  EXPECT_EQ(error_of_text("{"),
            "mapping_invalid: Invalid Table Mappings document. It cannot be read as JSON: line 1, "
            "column 2: the text ends inside the document");
  for (auto text : {"[]", "{}", R"({"rules": {}})", R"({"rules": null})", R"({"rules": ["x"]})",
                    R"({"TableMappings": []})"}) {
    EXPECT_THAT(error_of_text(text), HasSubstr("mapping_invalid: Invalid Table Mappings document. ")) << text;
  }
  EXPECT_THAT(error_of_text(R"({"rules": []})"),
              HasSubstr("Error in mapping rules. At least one selection rule is required."));
}

TEST(TableMapping, BadRulesAreRefusedInAwssWords) {
  EXPECT_EQ(
      reason_of(
          R"({"rule-type": "selection", "rule-id": "2", "rule-action": "include", "object-locator": null})"),
      "object locator cannot be null.");
  EXPECT_EQ(reason_of(selection(2, "s", "", "include")), "object-locator has no table-name.");
  EXPECT_EQ(reason_of(selection(2, "s", "%", "Include")), "The rule-action \"Include\" is not known.");
  EXPECT_EQ(reason_of(selection(2, "s", "%", "include", "", R"(, "table-type": "tables")")),
            "The table-type is not one of table, view, all.");
  EXPECT_EQ(reason_of(R"({"rule-type": "Selection", "rule-id": "2"})"),
            "The rule-type \"Selection\" is not known.");
  EXPECT_THAT(error_of({selection(1, "s", "%", "include"), selection(1, "t", "%", "include")}),
              HasSubstr("ruleId = 1 failed validation. rule-id is used by another rule too."));
  EXPECT_THAT(error_of_text(R"({"rules": [{"rule-type": "selection"}]})"), HasSubstr("ruleId = null"));
  EXPECT_THAT(error_of_text(R"({"rules": [{"rule-type": "selection", "rule-id": "one"}]})"),
              HasSubstr("not a number"));
}

std::string add_tags(int id, std::string_view schema, std::string_view table, std::string_view tags) {
  return fmt::format(R"({{"rule-type": "post-processing", "rule-id": "{}", "rule-action": "add-tag",
                         "object-locator": {{"schema-name": "{}", "table-name": "{}"}}, "tag-set": [{}]}})",
                     id, schema, table, tags);
}

TEST(TableMapping, TagsAreThoseOfTheBestRule) {
  TableMapping mapping =
      parse({selection(1, "%", "%", "include"),
             add_tags(2, "%", "%", R"({"key": "t", "value": "${schema-name}-${table-name}"},
                                                         {"key": "${table-name}", "value": null})"),
             add_tags(3, "hr", "%", R"({"key": "k", "value": "schema"})"),
             add_tags(4, "hr", "emp_x", R"({"key": "k", "value": "exact"})"),
             add_tags(5, "%", "emp_x", R"({"key": "k", "value": "table"})"),
             add_tags(6, "hr", "emp_x", R"({"key": "k", "value": "later"})")});
  using Tags = std::vector<model::ObjectTag>;
  EXPECT_EQ(mapping.tags({"it", "pc"}), (Tags{{"t", "it-pc"}, {"pc", ""}}));
  EXPECT_EQ(mapping.tags({"it", "t"}), (Tags{{"t", "it-t"}}));  // A key that is there already.
  EXPECT_EQ(mapping.tags({"hr", "dept"}), (Tags{{"k", "schema"}}));
  EXPECT_EQ(mapping.tags({"hr", "emp_x"}), (Tags{{"k", "exact"}}));
  EXPECT_EQ(mapping.tags({"it", "emp_x"}), (Tags{{"k", "table"}}));
  EXPECT_TRUE(mapping.has_tags());
  EXPECT_THROW(mapping.tags({"it", std::string(200, 'x')}), base::Error);
}

TEST(TableMapping, FiltersAreCheckedAndNotYetCarriedOut) {
  auto with_filter = [](std::string_view condition) {
    return selection(2, "s", "t", "include",
                     R"(, "filters": [{"filter-type": "source", "column-name": "c", "filter-conditions": [)" +
                         std::string(condition) + "]}]");
  };
  EXPECT_THAT(
      error_of({selection(1, "s", "%", "include"), with_filter(R"({"filter-operator": "gte", "value": 1})")}),
      HasSubstr(
          "unsupported: TableMappings ask for what this version of Ferry does not do: rule 2 has filters"));
  EXPECT_EQ(reason_of(with_filter(R"({"filter-operator": "lt", "value": 1})")),
            "The filter-operator \"lt\" is not known.");
  EXPECT_EQ(reason_of(with_filter(R"({"filter-operator": "eq"})")), "The filter-operator eq needs a value.");
  EXPECT_EQ(reason_of(with_filter(R"({"filter-operator": "between", "start-value": 1})")),
            "The filter-operator between needs start-value and end-value.");
  EXPECT_EQ(reason_of(with_filter("")), "A filter has no filter-conditions.");
}

std::string transformation(std::string_view members,
                           std::string_view locator = R"("schema-name": "s", "table-name": "t")") {
  return R"({"rule-type": "transformation", "rule-id": "2", "object-locator": {)" + std::string(locator) +
         "}, " + std::string(members) + "}";
}

TEST(TableMapping, TransformationsAreChecked) {
  EXPECT_THAT(
      error_of({selection(1, "s", "%", "include"),
                transformation(R"("rule-action": "rename", "rule-target": "schema", "expression": "$x")"),
                selection(3, "s", "t", "include",
                          R"(, "filters": [{"filter-type": "source", "column-name": "c",
                                  "filter-conditions": [{"filter-operator": "null"}]}])")}),
      HasSubstr("rule 2 is a transformation rule (rename of a schema); rule 3 has filters"));

  EXPECT_EQ(reason_of(transformation(R"("rule-action": "renam", "rule-target": "schema", "value": "x")")),
            "The rule-action \"renam\" is not known.");
  EXPECT_EQ(reason_of(transformation(R"("rule-action": "rename", "rule-target": "view", "value": "x")")),
            "The rule-target \"view\" is not known.");
  EXPECT_EQ(reason_of(transformation(R"("rule-action": "rename", "rule-target": "table", "value": null)")),
            "rename needs a value or an expression.");
  EXPECT_EQ(
      reason_of(transformation(R"("rule-action": "replace-prefix", "rule-target": "table", "value": "x")")),
      "replace-prefix needs an old-value.");
  EXPECT_EQ(reason_of(transformation(R"("rule-action": "add-prefix", "rule-target": "table")")),
            "add-prefix needs a value.");
  EXPECT_EQ(reason_of(transformation(R"("rule-action": "remove-column", "rule-target": "table")")),
            "The rule-action remove-column does not go with the rule-target table.");
  EXPECT_EQ(reason_of(transformation(R"("rule-action": "remove-column", "rule-target": "column")")),
            "object-locator has no column-name.");
  EXPECT_EQ(
      reason_of(transformation(R"("rule-action": "add-column", "rule-target": "column", "value": "x")")),
      "add-column needs a data-type.");
  EXPECT_EQ(
      reason_of(transformation(
          R"("rule-action": "add-column", "rule-target": "column", "value": "x", "data-type": {"type": "text"})")),
      "The data-type \"text\" is not known.");
  EXPECT_EQ(reason_of(transformation(R"("rule-action": "define-primary-key", "rule-target": "table")",
                                     R"("schema-name": "s", "table-name": "%")")),
            "Exact schema and table name required when using define-primary-key.");
  EXPECT_EQ(reason_of(transformation(R"("rule-action": "add-before-image-columns", "rule-target": "column",
                                        "before-image-def": {"column-prefix": "", "column-suffix": ""})")),
            "The column-prefix and the column-suffix of before-image-def are both empty.");
}

TEST(TableMapping, BadRulesAreFoundBeforeUnsupportedOnes) {
  EXPECT_THAT(error_of({selection(1, "s", "%", "include"),
                        transformation(R"("rule-action": "rename", "rule-target": "schema", "value": "x")"),
                        selection(2, "s", "t", "include")}),
              HasSubstr("mapping_invalid"));
}

TEST(TableMapping, RulesWithoutEffectHereAreNoted) {
  auto mapping = parse(
      {selection(1, "s", "%", "include"),
       transformation(R"("rule-action": "rename", "rule-target": "table-tablespace", "value": "x")",
                      R"("schema-name": "s", "table-tablespace-name": "t")"),
       R"({"rule-type": "validation", "rule-id": 3, "rule-action": "override-validation-function",
                            "object-locator": {}})",
       R"({"rule-type": "table-settings", "rule-id": 4, "object-locator": {"schema-name": "s", "table-name": "t"},
                            "parallel-load": {"type": "none"}, "lob-settings": {"mode": "unlimited", "bulk-max-size": 0}})"});
  EXPECT_THAT(mapping.notes(), ElementsAre(HasSubstr("rule 2 (transformation) has no effect"),
                                           HasSubstr("rule 3 (validation) has no effect")));
}

TEST(TableMapping, TableSettings) {
  auto settings = [](std::string_view more) {
    return R"({"rule-type": "table-settings", "rule-id": 2, "object-locator": {"schema-name": "s", "table-name": "t"}, )" +
           std::string(more) + "}";
  };
  auto first = selection(1, "s", "%", "include");
  EXPECT_THAT(error_of({first, settings(R"("parallel-load": {"type": "partitions-auto"})")}),
              HasSubstr("rule 2 is a table-settings rule with parallel-load"));
  auto lobs = [&](std::string_view more) { return settings("\"lob-settings\": " + std::string(more)); };
  auto limited = parse({first, lobs(R"({"mode": "limited", "bulk-max-size": "16"})")});
  ASSERT_NE(limited.lob_settings({"s", "t"}), nullptr);
  EXPECT_EQ(limited.lob_settings({"s", "t"})->size_max_kb, 16);
  EXPECT_EQ(limited.lob_settings({"s", "T"}), nullptr);
  std::vector<ListedTable> others = {{.name = {"s", "x"}}};
  EXPECT_THAT(limited.unmatched_rules(others), ElementsAre("rule 2 (lob-settings of s.t) matches no table"));
  auto unlimited = parse({first, lobs(R"({"mode": "unlimited", "bulk-max-size": 16})")});
  ASSERT_NE(unlimited.lob_settings({"s", "t"}), nullptr);
  EXPECT_EQ(unlimited.lob_settings({"s", "t"})->size_max_kb, std::nullopt);
  auto none = parse({first, lobs(R"({"mode": "none", "bulk-max-size": 16})")});
  EXPECT_FALSE(none.has_lob_settings());
  auto twice = parse(
      {first, lobs(R"({"mode": "limited", "bulk-max-size": 16})"),
       R"({"rule-type": "table-settings", "rule-id": 3, "object-locator": {"schema-name": "s", "table-name": "t"},
           "lob-settings": {"mode": "unlimited"}})"});
  EXPECT_EQ(twice.lob_settings({"s", "t"})->size_max_kb, 16);
  EXPECT_THAT(twice.notes(), ElementsAre(HasSubstr("rule 3 (table-settings) has no effect")));
  for (auto wrong : {R"({"mode": "unlimited", "bulk-max-size": -1})", R"({"bulk-max-size": 2147483648})",
                     R"({"mode": "unlimited", "bulk-max-size": "all"})"}) {
    EXPECT_THAT(reason_of(lobs(wrong)), HasSubstr("bulk-max-size")) << wrong;
  }
  EXPECT_THAT(reason_of(settings(
                  R"("parallel-load": {"type": "ranges", "columns": ["a", "b"], "boundaries": [["1"]]})")),
              HasSubstr("boundaries of as many values"));
  EXPECT_THAT(reason_of(settings(R"("lob-settings": {"mode": "limited", "bulk-max-size": 0})")),
              HasSubstr("bulk-max-size"));
}

TEST(TableMapping, SelectsByPatternsOfTheCommandLine) {
  auto mapping = TableMapping::select_all_of({"public.%", "shop.order[_]items"});
  EXPECT_TRUE(selects_table(mapping, "public", "anything"));
  EXPECT_TRUE(selects_table(mapping, "shop", "order_items"));
  EXPECT_FALSE(selects_table(mapping, "shop", "orderXitems"));
  EXPECT_FALSE(mapping.selects({"public", "v"}, TableKind::kView));
  EXPECT_THAT(mapping.unmatched_rules(std::vector<ListedTable>{{.name = {"public", "a"}}}),
              ElementsAre("'shop.order[_]items' matches no table"));

  EXPECT_TRUE(selects_table(TableMapping::select_all_of({}), "any", "table"));
  EXPECT_TRUE(selects_table(TableMapping::select_all_of({"s.a.b"}), "s", "a.b"));
  for (auto pattern : {"orders", "", ".orders", "public.", "postgresql://u:geheim@h.d/e"}) {
    try {
      TableMapping::select_all_of({pattern});
      FAIL() << pattern;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    }
  }
}

}  // namespace
}  // namespace ferry::mapping
