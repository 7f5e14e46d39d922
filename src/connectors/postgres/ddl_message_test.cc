#include "connectors/postgres/ddl_message.h"

#include <gtest/gtest.h>

#include <string>

namespace ferry::postgres {
namespace {

constexpr std::string_view kKey = "0123456789abcdef0123456789abcdef";

// A message as PostgreSQL 15 made it of "CREATE TABLE p.t (b text, a int NOT NULL, g int GENERATED …, PRIMARY
// KEY (a, b))", a column dropped.
std::string table_message() {
  return R"({"version" : 1, "secret" : "0123456789abcdef0123456789abcdef", "event" : "table", "oid" : 16412,)"
         R"( "schema" : "p", "name" : "t", "identity" : "d", "columns" : [[1, "b", 25, -1, true, false],)"
         R"( [3, "a", 23, -1, true, false], [4, "g", 1700, 655366, false, true]], "key" : [3, 1]})";
}

// The message with one text in it replaced.
std::string with(std::string_view was, std::string_view is) {
  std::string text = table_message();
  auto at = text.find(was);
  EXPECT_NE(at, std::string::npos) << was;
  return text.replace(at, was.size(), is);
}

TEST(DdlMessage, TellsATablesShape) {
  auto message = parse_ddl_message(table_message(), kKey);
  ASSERT_TRUE(message);
  DdlTable expected{
      .oid = 16412,
      .name = {.schema = "p", .table = "t"},
      .replica_identity = 'd',
      .columns = {{.number = 1, .name = "b", .type_oid = 25, .not_null = true},
                  {.number = 3, .name = "a", .type_oid = 23, .not_null = true},
                  {.number = 4, .name = "g", .type_oid = 1700, .typmod = 655366, .generated = true}},
      .key = {3, 1}};
  EXPECT_EQ(std::get<DdlTable>(*message), expected);
}

TEST(DdlMessage, TellsADroppedTable) {
  auto message = parse_ddl_message(
      R"({"version":1,"secret":"0123456789abcdef0123456789abcdef","event":"drop","oid":4294967295,)"
      R"("schema":"S \"c\"","name":"t\u00e9"})",
      kKey);
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<DdlDrop>(*message),
            (DdlDrop{.oid = 4294967295, .name = {.schema = "S \"c\"", .table = "t\u00e9"}}));
}

TEST(DdlMessage, IsNothingWithoutItsKey) {
  EXPECT_FALSE(parse_ddl_message(table_message(), "0123456789abcdef0123456789abcdee"));
  EXPECT_FALSE(parse_ddl_message(table_message(), "0123456789abcdef"));
  EXPECT_FALSE(parse_ddl_message(table_message(), ""));
  EXPECT_FALSE(parse_ddl_message(with(kKey, ""), ""));
  // The key in another place is not enough.
  EXPECT_FALSE(parse_ddl_message(with(R"("secret" : ")", R"("x" : ")"), kKey));
}

TEST(DdlMessage, IsNothingInAnotherForm) {
  const std::pair<std::string_view, std::string_view> changes[] = {
      {"\"version\" : 1", "\"version\" : 2"},
      {"\"version\" : 1", "\"version\" : \"1\""},
      {"\"event\" : \"table\"", "\"event\" : \"index\""},
      {"16412", "0"},
      {"16412", "4294967296"},
      {"16412", "-1"},
      {"16412", "1.5"},
      {"\"p\"", "\"\""},
      {"\"p\"", "7"},
      {"\"p\"", "\"p\\u0000\""},
      {"\"t\"", "\"0123456789012345678901234567890123456789012345678901234567890123\""},
      {"\"d\"", "\"x\""},
      {"\"d\"", "\"dd\""},
      {"[3, \"a\"", "[1, \"a\""},     // Numbers ascend.
      {"[4, \"g\"", "[1601, \"g\""},  // No table has so many.
      {"\"g\"", "\"a\""},             // Names are unique.
      {"655366", "2147483648"},
      {"-1, true, false], [3", "-1, 1, false], [3"},
      {"-1, true, false], [3", "-1, true], [3"},
      {"[3, 1]", "[3, 2]"},  // A key is of columns that are there,
      {"[3, 1]", "[3, 3]"},  // each once.
      {"[3, 1]", "null"},
      {"\"key\"", "\"keys\""},
      {"}", "} x"},
      {"}", ""},
  };
  for (const auto& [was, is] : changes) EXPECT_FALSE(parse_ddl_message(with(was, is), kKey)) << is;
  EXPECT_FALSE(parse_ddl_message("", kKey));
  EXPECT_FALSE(parse_ddl_message(kKey, kKey));
  EXPECT_FALSE(parse_ddl_message("[\"" + std::string(kKey) + "\"]", kKey));
}

TEST(DdlMessage, IsNothingWhenItIsLargerOrDeeperThanATableNeeds) {
  EXPECT_FALSE(parse_ddl_message(with("\"key\"", std::string(1 << 20, ' ') + "\"key\""), kKey));
  EXPECT_TRUE(parse_ddl_message(with("\"key\"", std::string(1 << 19, ' ') + "\"key\""), kKey));
  EXPECT_FALSE(parse_ddl_message(with("[3, 1]", std::string(100'000, '[')), kKey));
}

TEST(DdlMessage, TakesTheLargestTable) {
  std::string columns;
  for (int i = 1; i <= 1600; ++i) {
    std::string number = std::to_string(i);
    // Characters that JSON writes in six bytes.
    std::string name;
    for (std::size_t k = 0; k < 63 - number.size(); ++k) name += "\\u0001";
    columns += (i > 1 ? ", [" : "[") + number + ", \"" + name + number + "\", 4294967295, -1, false, false]";
  }
  auto message = parse_ddl_message(with("[1, \"b\", 25, -1, true, false], [3, \"a\", 23, -1, true, false], "
                                        "[4, \"g\", 1700, 655366, false, true]",
                                        columns),
                                   kKey);
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<DdlTable>(*message).columns.size(), 1600U);
}

}  // namespace
}  // namespace ferry::postgres
