#include "connectors/postgres/pgoutput.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

// The bytes are PostgreSQL 15's, from
//   CREATE TABLE t (id int PRIMARY KEY, b text, c text); ALTER TABLE t ALTER c SET STORAGE EXTERNAL;
//   CREATE TABLE f (a int, b numeric(10,2)); ALTER TABLE f REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR
//   TABLE t, f; SELECT pg_create_logical_replication_slot('s', 'pgoutput'); INSERT INTO f VALUES (7, 1.50);
//   UPDATE t SET b = 'x'; UPDATE t SET id = 2; UPDATE f SET a = 8; DELETE FROM t; TRUNCATE t, f; SELECT
//   pg_logical_emit_message(true, 'ferry', 'hello')
// read with
//   SELECT data FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, 'proto_version', '1',
//                                                        'publication_names', 'p', 'messages', 'true')
namespace ferry::postgres::pgoutput {
namespace {

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

constexpr const char* kGolden[] = {
    "4200000000017496c8000303ca3bfdba3b000002d6",
    "52000040007075626c69630074006400030169640000000017ffffffff00620000000019ffffffff00630000000019ffffffff",
    "52000040077075626c696300660066000201610000000017ffffffff016200000006a4000a0006",
    "49000040074e00027400000001377400000004312e3530",
    "430000000000017496c800000000017496f8000303ca3bfdba3b",
    "55000040004e000374000000013174000000017875",
    "55000040004b00037400000001316e6e4e000374000000013274000000017875",
    "55000040074f00027400000001377400000004312e35304e00027400000001387400000004312e3530",
    "44000040004b00037400000001326e6e",
    "44000040074f00027400000001387400000004312e3530",
    "5400000002000000400000004007",
    "4d01000000000174aa786665727279000000000568656c6c6f",
};

TEST(PgoutputTest, ReadsFramesOfTransactions) {
  Decoder decoder;
  std::string bytes = bytes_of(kGolden[0]);
  auto begin = std::get<Begin>(decoder.decode(bytes));
  EXPECT_EQ(begin.final_lsn, Lsn{0x17496C8});
  EXPECT_EQ(begin.xid, 0x2D6U);
  bytes = bytes_of(kGolden[4]);
  auto commit = std::get<Commit>(decoder.decode(bytes));
  EXPECT_EQ(commit.commit_lsn, begin.final_lsn);
  EXPECT_EQ(commit.end_lsn, Lsn{0x17496F8});
  EXPECT_EQ(commit.commit_time, begin.commit_time);
}

TEST(PgoutputTest, ReadsRelations) {
  Decoder decoder;
  std::string bytes = bytes_of(kGolden[1]);
  auto keyed = std::get<Description>(decoder.decode(bytes)).relation;
  EXPECT_EQ(keyed.oid, 0x4000U);
  EXPECT_EQ(keyed.schema, "public");
  EXPECT_EQ(keyed.name, "t");
  EXPECT_EQ(keyed.replica_identity, 'd');
  ASSERT_EQ(keyed.columns.size(), 3U);
  EXPECT_TRUE(keyed.columns[0].in_identity);
  EXPECT_FALSE(keyed.columns[1].in_identity);
  EXPECT_EQ(keyed.columns[0].type_oid, 23U);
  EXPECT_EQ(keyed.columns[0].typmod, -1);
  bytes = bytes_of(kGolden[2]);
  auto whole = std::get<Description>(decoder.decode(bytes)).relation;
  EXPECT_EQ(whole.replica_identity, 'f');
  EXPECT_EQ(whole.columns[1].typmod, 0xA0006);
}

TEST(PgoutputTest, ReadsRows) {
  Decoder decoder;
  std::string bytes = bytes_of(kGolden[3]);
  auto insert = std::get<Insert>(decoder.decode(bytes));
  EXPECT_EQ(insert.relation, 0x4007U);
  ASSERT_EQ(insert.after.size(), 2U);
  EXPECT_EQ(insert.after[1].bytes, "1.50");

  bytes = bytes_of(kGolden[5]);
  auto update = std::get<Update>(decoder.decode(bytes));
  EXPECT_EQ(update.old, OldTuple::kNone);
  EXPECT_EQ(update.after[2].kind, ValueKind::kNotSent);

  bytes = bytes_of(kGolden[6]);
  auto moved = std::get<Update>(decoder.decode(bytes));
  EXPECT_EQ(moved.old, OldTuple::kKey);
  EXPECT_EQ(moved.before[0].bytes, "1");
  EXPECT_EQ(moved.before[1].kind, ValueKind::kNull);
  EXPECT_EQ(moved.after[0].bytes, "2");

  bytes = bytes_of(kGolden[7]);
  auto whole = std::get<Update>(decoder.decode(bytes));
  EXPECT_EQ(whole.old, OldTuple::kFull);
  EXPECT_EQ(whole.before[0].bytes, "7");
  EXPECT_EQ(whole.after[0].bytes, "8");

  bytes = bytes_of(kGolden[8]);
  EXPECT_EQ(std::get<Delete>(decoder.decode(bytes)).old, OldTuple::kKey);
  bytes = bytes_of(kGolden[9]);
  EXPECT_EQ(std::get<Delete>(decoder.decode(bytes)).old, OldTuple::kFull);
}

TEST(PgoutputTest, ReadsTruncatesAndMessages) {
  Decoder decoder;
  std::string bytes = bytes_of(kGolden[10]);
  auto truncate = std::get<Truncate>(decoder.decode(bytes));
  ASSERT_EQ(truncate.relations.size(), 2U);
  EXPECT_EQ(truncate.relations[1], 0x4007U);
  bytes = bytes_of(kGolden[11]);
  auto message = std::get<Message>(decoder.decode(bytes));
  EXPECT_TRUE(message.transactional);
  EXPECT_EQ(message.prefix, "ferry");
  EXPECT_EQ(message.content, "hello");
}

TEST(PgoutputTest, RefusesEveryCutAndEveryExtraByte) {
  Decoder decoder;
  for (const char* hex : kGolden) {
    std::string bytes = bytes_of(hex);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_THROW(decoder.decode(std::string_view(bytes).substr(0, size)), base::Error)
          << hex << " cut to " << size;
    }
    EXPECT_THROW(decoder.decode(bytes + '\0'), base::Error) << hex;
  }
  EXPECT_THROW(decoder.decode("Z"), base::Error);
}

// PostgreSQL 17's, with debug_logical_replication_streaming = immediate, from
//   BEGIN; INSERT INTO t VALUES (1, 'x'); SAVEPOINT s; UPDATE t SET b = 'y'; ROLLBACK TO s;
//   SELECT pg_logical_emit_message(true, 'ferry', 'hello'); TRUNCATE t; COMMIT
// read with 'proto_version', '2', 'streaming', 'on'.
TEST(PgoutputTest, ReadsTransactionsInPieces) {
  Decoder decoder;
  auto decode = [&, bytes = std::string()](std::string_view hex) mutable {
    bytes = bytes_of(hex);
    return decoder.decode(bytes);
  };
  EXPECT_EQ(std::get<StreamStart>(decode("53000002e501")).xid, 0x2E5U);
  Event event =
      decode("52000002e5000040007075626c69630074006400020169640000000017ffffffff00620000000019ffffffff");
  const auto& description = std::get<Description>(event);
  EXPECT_EQ(description.relation.oid, 0x4000U);
  EXPECT_EQ(description.relation.name, "t");
  // Equal to what the others are told, although that says no transaction.
  EXPECT_EQ(std::string(description.bytes),
            bytes_of("000040007075626c69630074006400020169640000000017ffffffff00620000000019ffffffff"));
  event = decode("49000002e5000040004e0002740000000131740000000178");
  EXPECT_EQ(std::get<Insert>(event).after[1].bytes, "x");
  EXPECT_EQ(decoder.streamed_xid(), 0x2E5U);
  EXPECT_TRUE(std::holds_alternative<StreamStop>(decode("45")));
  decode("53000002e500");
  event = decode("55000002e6000040004e0002740000000131740000000179");
  EXPECT_EQ(std::get<Update>(event).after[1].bytes, "y");
  EXPECT_EQ(decoder.streamed_xid(), 0x2E6U);
  decode("45");
  event = decode("41000002e5000002e6");
  EXPECT_EQ(std::get<StreamAbort>(event).xid, 0x2E5U);
  EXPECT_EQ(std::get<StreamAbort>(event).subxid, 0x2E6U);
  decode("53000002e500");
  event = decode("4d000002e5010000000001726f786665727279000000000568656c6c6f");
  EXPECT_EQ(std::get<Message>(event).content, "hello");
  event = decode("54000002e7000000010000004000");
  EXPECT_EQ(std::get<Truncate>(event).relations[0], 0x4000U);
  decode("45");
  event = decode("63000002e5000000000001727af80000000001727c70000303cc388cbc01");
  EXPECT_EQ(std::get<StreamCommit>(event).xid, 0x2E5U);
  EXPECT_EQ(std::get<StreamCommit>(event).commit.end_lsn, Lsn{0x1727C70});
  EXPECT_EQ(decoder.streamed_xid(), 0U);
}

TEST(PgoutputTest, RefusesPiecesThatDoNotFitTogether) {
  std::string start = bytes_of("53000002e501");
  std::string stop = bytes_of("45");
  Decoder decoder;
  EXPECT_THROW(decoder.decode(stop), base::Error);
  decoder.decode(start);
  EXPECT_THROW(decoder.decode(start), base::Error);
}

}  // namespace
}  // namespace ferry::postgres::pgoutput
