#include "connectors/postgres/test_decoding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

// The lines are those of PostgreSQL 13, 15 and 18, which print the same but for numbers and times, from
//   CREATE TYPE "S ""c"."my]type" AS ENUM ('a b'); CREATE DOMAIN public.yes AS bool;
//   CREATE TABLE public.t (id int PRIMARY KEY, b text, c text, "Q ""x" "S ""c"."my]type");
//   ALTER TABLE public.t ALTER c SET STORAGE EXTERNAL;
//   CREATE TABLE public.f (a int, b numeric(10,2), c text); ALTER TABLE public.f REPLICA IDENTITY FULL;
//   CREATE TABLE public.n (a int); CREATE TABLE "S ""c"."T: x, y" (a int);
// read with
//   SELECT data FROM pg_logical_slot_peek_changes('s', NULL, NULL, 'include-xids', '1', 'include-timestamp',
//   '1')
namespace ferry::postgres::test_decoding {
namespace {

using ::testing::ElementsAre;

// "name|type|value", the value as "null", "-" where it was not sent, or "=text".
std::vector<std::string> shown(std::span<const Column> columns) {
  std::vector<std::string> all;
  for (const Column& column : columns) {
    std::string value = column.value.kind == ValueKind::kNull      ? "null"
                        : column.value.kind == ValueKind::kNotSent ? "-"
                                                                   : "=" + std::string(column.value.bytes);
    all.push_back(std::string(column.name) + '|' + std::string(column.type) + '|' + value);
  }
  return all;
}

RowValues values_of(Decoder& decoder, std::string_view line) {
  return decoder.read_values(std::get<RowLine>(decoder.decode(line)));
}

void expect_refused(std::string_view line) {
  Decoder decoder;
  try {
    Event event = decoder.decode(line);
    if (const auto* row = std::get_if<RowLine>(&event)) decoder.read_values(*row);
    ADD_FAILURE() << "taken: " << line;
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kSourceProtocol);
    EXPECT_THAT(error.message(), ::testing::Not(::testing::HasSubstr("s3cret")));
  }
}

TEST(TestDecodingTest, ReadsFramesOfTransactions) {
  Decoder decoder;
  EXPECT_EQ(std::get<Begin>(decoder.decode("BEGIN 496")).xid, 496U);
  auto commit = std::get<Commit>(decoder.decode("COMMIT 4294967295 (at 2026-11-21 18:02:09.645779+00)"));
  EXPECT_EQ(commit.xid, 4294967295U);
  EXPECT_EQ(commit.time, "2026-11-21 18:02:09.645779+00");
}

TEST(TestDecodingTest, ReadsAnInsertWithQuotesInNamesAndValues) {
  Decoder decoder;
  std::string_view line =
      "table public.t: INSERT: id[integer]:1 b[text]:'it''s\n\\' c[text]:'' \"Q \"\"x\"[\"S "
      "\"\"c\".\"my]type\"]:'a b'";
  auto row = std::get<RowLine>(decoder.decode(line));
  EXPECT_EQ(row.operation, Operation::kInsert);
  EXPECT_EQ(row.table, "public.t");
  RowValues values = decoder.read_values(row);
  EXPECT_FALSE(values.has_before);
  EXPECT_THAT(shown(values.after), ElementsAre("id|integer|=1", "b|text|=it's\n\\",
                                               "c|text|=", "Q \"x|\"S \"\"c\".\"my]type\"|=a b"));
}

TEST(TestDecodingTest, GivesEveryTypesValueAsItsOutputFunctionPrintsIt) {
  Decoder decoder;
  RowValues row = values_of(
      decoder,
      "table public.v: INSERT: id[integer]:1 bo[boolean]:true no[boolean]:false y[public.yes]:'f' "
      "bi[bit]:B'10101' vb[bit varying]:B'' n[numeric]:1.50 n2[numeric]:NaN f[double precision]:-Infinity "
      "m[money]:'-$1,234.50' ch[\"char\"]:'' bp[character]:'ab ' ba[bytea]:'\\x00ff' ts[timestamp with time "
      "zone]:'2024-07-01 06:30:00.5+00' ar[integer[]]:'{1,NULL}' o[oid]:5 e[text]:null w[text]:'null'");
  EXPECT_THAT(
      shown(row.after),
      ElementsAre("id|integer|=1", "bo|boolean|=t", "no|boolean|=f", "y|public.yes|=f", "bi|bit|=10101",
                  "vb|bit varying|=", "n|numeric|=1.50", "n2|numeric|=NaN", "f|double precision|=-Infinity",
                  "m|money|=-$1,234.50", "ch|\"char\"|=", "bp|character|=ab ", "ba|bytea|=\\x00ff",
                  "ts|timestamp with time zone|=2024-07-01 06:30:00.5+00", "ar|integer[]|={1,NULL}",
                  "o|oid|=5", "e|text|null", "w|text|=null"));
}

TEST(TestDecodingTest, ReadsOldRows) {
  Decoder decoder;
  RowValues toast =
      values_of(decoder, "table public.t: UPDATE: id[integer]:1 b[text]:null c[text]:unchanged-toast-datum");
  EXPECT_FALSE(toast.has_before);
  EXPECT_THAT(shown(toast.after), ElementsAre("id|integer|=1", "b|text|null", "c|text|-"));

  RowValues moved = values_of(decoder,
                              "table public.f: UPDATE: old-key: a[integer]:7 c[text]:'x' new-tuple: "
                              "a[integer]:8 b[numeric]:null c[text]:' new-tuple: a[integer]:9'");
  EXPECT_TRUE(moved.has_before);
  EXPECT_THAT(shown(moved.before), ElementsAre("a|integer|=7", "c|text|=x"));
  EXPECT_THAT(shown(moved.after),
              ElementsAre("a|integer|=8", "b|numeric|null", "c|text|= new-tuple: a[integer]:9"));

  RowValues gone = values_of(decoder, "table public.t: DELETE: id[integer]:2");
  EXPECT_THAT(shown(gone.before), ElementsAre("id|integer|=2"));
  EXPECT_TRUE(gone.after.empty());
  EXPECT_FALSE(values_of(decoder, "table public.n: DELETE: (no-tuple-data)").has_before);
}

TEST(TestDecodingTest, ReadsTruncate) {
  Decoder decoder;
  auto both =
      std::get<Truncate>(decoder.decode("table public.t, \"S \"\"c\".\"T: x, y\": TRUNCATE: (no-flags)"));
  ASSERT_EQ(both.tables.size(), 2U);
  EXPECT_EQ(parse_table(both.tables[0]), (model::TableName{"public", "t"}));
  EXPECT_EQ(parse_table(both.tables[1]), (model::TableName{"S \"c", "T: x, y"}));
  auto flags = std::get<Truncate>(decoder.decode("table public.t: TRUNCATE: restart_seqs cascade"));
  EXPECT_EQ(flags.tables.size(), 1U);
}

TEST(TestDecodingTest, FindsAMessagesContentByItsSize) {
  Decoder decoder;
  auto message = std::get<Message>(
      decoder.decode("message: transactional: 1 prefix: pre, sz: 1 content:, sz: 3 content:a\nb"));
  EXPECT_TRUE(message.transactional);
  EXPECT_EQ(message.prefix, "pre, sz: 1 content:");
  EXPECT_EQ(message.content, "a\nb");
  auto empty = std::get<Message>(decoder.decode("message: transactional: 0 prefix: p, sz: 0 content:"));
  EXPECT_FALSE(empty.transactional);
  EXPECT_EQ(empty.content, "");
}

TEST(TestDecodingTest, RefusesWhatItDoesNotKnowWithoutShowingValues) {
  for (const char* line : {
           "",
           "BEGIN",
           "BEGIN x",
           "BEGIN 1 2",
           "BEGIN 99999999999",
           "COMMIT 1",
           "COMMIT 1 (at ",
           "COMMIT PREPARED 'g', txid 1",
           "PREPARE TRANSACTION 'g', txid 1",
           "opening a streamed block for transaction TXN 1",
           "table t: INSERT: a[integer]:1",
           "table a.b: MERGE: a[integer]:1",
           "table a.b, c.d: INSERT: a[integer]:1",
           "table a.\"b: INSERT: a[integer]:1",
           "table a.b: INSERT: (no-tuple-data)",
           "table a.b: INSERT: a[integer]:",
           "table a.b: INSERT: a[text]:'s3cret",
           "table a.b: INSERT: a[text]:'s3cret'x",
           "table a.b: INSERT: a[bit]:B",
           "table a.b: INSERT: a[text:'s3cret'",
           "table a.b: INSERT: a:'s3cret'",
           "table a.b: INSERT: A[text]:'s3cret'",
           "table a.b: UPDATE: old-key: a[text]:'s3cret'",
           "table a.b: INSERT: a[integer]:1 new-tuple: a[integer]:1",
           "table a.b: TRUNCATE: everything",
           "message: transactional: 2 prefix: p, sz: 0 content:",
           "message: transactional: 1 prefix: p, sz: 4 content:abc",
       }) {
    expect_refused(line);
  }
}

}  // namespace
}  // namespace ferry::postgres::test_decoding
