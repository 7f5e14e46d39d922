#include "model/json_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace ferry::model {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string error_of(const std::string& text) {
  try {
    parse_json(text, "the document");
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kDocumentInvalid);
    return error.message();
  }
  return "";
}

TEST(JsonDocument, SaysWhereASyntaxErrorIs) {
  EXPECT_THAT(error_of("{\"a\": 1,\n  \"b\": }"),
              StartsWith("the document cannot be read as JSON: line 2, column 8"));
  EXPECT_THAT(error_of("{} {}"), HasSubstr("line 1, column 4: there is more text"));
  EXPECT_THAT(error_of("{\"a\": [1"), HasSubstr("line 1, column 9: the text ends"));
  EXPECT_THAT(error_of(""), HasSubstr("line 1, column 1: the text ends"));
  EXPECT_THAT(error_of("{\"a\": \"\xff\"}"), HasSubstr("line 1, column 8"));
}

TEST(JsonDocument, LetsAByteOrderMarkThrough) {
  EXPECT_TRUE(parse_json("\xEF\xBB\xBF{\"a\": 1}\r\n", "the document").is_object());
}

TEST(JsonDocument, RefusesWhatIsTooLargeOrTooDeep) {
  std::string largest = "[" + std::string(kJsonBytesMax - 2, ' ') + "]";
  EXPECT_EQ(error_of(largest), "");
  EXPECT_THAT(error_of(largest + " "), HasSubstr("more than the 10485760 allowed"));

  EXPECT_EQ(error_of(std::string(kJsonDepthMax, '[') + std::string(kJsonDepthMax, ']')), "");
  EXPECT_THAT(error_of(std::string(kJsonDepthMax + 1, '[')), HasSubstr("nested deeper than 100 levels"));
  EXPECT_THAT(error_of(std::string(1'000'000, '[')), HasSubstr("nested deeper than 100 levels"));
}

TEST(JsonDocument, CanonicalFormSortsMembersAtEveryLevel) {
  auto value = parse_json(R"({"b": [ {"z": 1, "a": null} ], "a": "x"})", "the document");
  EXPECT_EQ(canonical_json(value), R"({"a":"x","b":[{"a":null,"z":1}]})");
}

TEST(JsonDocument, ExcerptsAreShortAndStayText) {
  EXPECT_EQ(json_quoted_excerpt("a\nb"), R"("a\nb")");
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "ü";
  std::string excerpt = json_quoted_excerpt(umlauts);
  EXPECT_LT(excerpt.size(), 70u);
  EXPECT_NO_THROW(parse_json("\"" + excerpt.substr(1) + "\"", "the excerpt"));
}

}  // namespace
}  // namespace ferry::model
