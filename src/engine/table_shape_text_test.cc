#include "engine/table_shape_text.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ferry::engine {
namespace {

TEST(TableShapeText, ComesBackAsItWas) {
  model::TableVersion table;
  table.name = {"a \"schema\"", "täble"};
  table.columns = {{.name = "id",
                    .type = {.id = model::TypeId::kNumeric, .precision = 38, .scale = 37},
                    .nullable = false,
                    .source_number = 3,
                    .source_type = "numeric(38,37)"},
                   {.name = "x\n", .type = {.id = model::TypeId::kTime, .scale = 6, .without_offset = true}},
                   {.name = "t", .type = {.id = model::TypeId::kWstring, .length = 2'000'000'000}}};
  table.key = {2, 0};
  table.identity = model::RowIdentity::kKey;
  table.columns[1].generated = true;
  EXPECT_EQ(parse_shape(shape_text(table)), table);
  EXPECT_TRUE(parse_shape(shape_text(table)).columns[1].generated);
  table.key.clear();
  for (auto identity : {model::RowIdentity::kFullRow, model::RowIdentity::kNone}) {
    table.identity = identity;
    EXPECT_EQ(parse_shape(shape_text(table)), table);
  }
}

TEST(TableShapeText, TextOfAnOlderVersionIsRead) {
  EXPECT_EQ(parse_shape(R"({"schema":"s","table":"t","columns":[],"key":[]})").identity,
            model::RowIdentity::kNone);
}

TEST(TableShapeText, OtherTextIsRefused) {
  for (const char* text : {"", "[]", "{}", R"({"schema":"s","table":"t","columns":[],"key":[0]})",
                           R"({"schema":"s","table":"t","columns":[{"name":1}],"key":[]})"}) {
    try {
      parse_shape(text);
      ADD_FAILURE() << text;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kStateUnusable) << text;
    }
  }
}

}  // namespace
}  // namespace ferry::engine
