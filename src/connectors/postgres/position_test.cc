#include "connectors/postgres/position.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ferry::postgres {
namespace {

using model::Coverage;

TEST(LsnTest, IsWrittenAndReadAsTheServerDoes) {
  EXPECT_EQ(to_string(Lsn{0x4AF'B000'00D0}), "4AF/B00000D0");
  EXPECT_EQ(to_string(Lsn{0x1'0000'0001}), "1/1");
  EXPECT_EQ(parse_lsn("4AF/B00000D0"), Lsn{0x4AF'B000'00D0});
  EXPECT_EQ(parse_lsn("FFFFFFFF/FFFFFFFF"), Lsn{~std::uint64_t{0}});
  for (const char* wrong :
       {"", "/", "1/", "/1", "1", "1/G", "1/1/1", "100000000/0", "0/100000000", " 1/1", "-1/1"}) {
    EXPECT_FALSE(parse_lsn(wrong)) << wrong;
  }
}

TEST(LsnTest, PositionsCompareAsNumbers) {
  EXPECT_LT(position_of(Lsn{0xFF}), position_of(Lsn{0x100}));
  EXPECT_LT(position_of(Lsn{0xFFFF'FFFF}), position_of(Lsn{0x1'0000'0000}));
  EXPECT_LT(position_of(Lsn{1}), position_of(Lsn{~std::uint64_t{0}}));
  EXPECT_EQ(lsn_of(position_of(Lsn{0x4AF'B000'00D0})), Lsn{0x4AF'B000'00D0});
  EXPECT_EQ(lsn_of({}), Lsn{0});
  EXPECT_THROW(lsn_of({"abc", "abc"}), base::Error);
}

TEST(LsnTest, ReadsStartPositionsInBothForms) {
  EXPECT_EQ(parse_start_position("4AF/B00000D0"), Lsn{0x4AF'B000'00D0});
  EXPECT_EQ(parse_start_position("checkpoint:V1#1#000004AF/B00000D0#0#0#*#0#0"), Lsn{0x4AF'B000'00D0});
  EXPECT_EQ(parse_start_position("checkpoint:V1#34#00000132/0F000E48#0#0#*#0#121"), Lsn{0x132'0F00'0E48});
  for (const char* wrong :
       {"", "0/0", "now", "checkpoint:V1#1", "checkpoint:V1#1#x#0", "mysql-bin.000024:373"}) {
    EXPECT_THROW(parse_start_position(wrong), base::Error) << wrong;
  }
}

TEST(SnapshotTest, IsReadAndWrittenAsTheServerDoes) {
  for (const char* text : {"10:20:10,14,15", "10:10:", "4294967300:4294967310:4294967301"}) {
    auto snapshot = Snapshot::parse(text);
    ASSERT_TRUE(snapshot) << text;
    EXPECT_EQ(snapshot->to_text(), text);
  }
  for (const char* wrong : {"", "10", "10:20", "20:10:", "a:b:", "10:20:x", "10:20:10,"}) {
    auto snapshot = Snapshot::parse(wrong);
    EXPECT_TRUE(!snapshot || snapshot->to_text() != wrong) << wrong;
  }
}

TEST(SnapshotTest, SeesWhatHadEnded) {
  auto snapshot = *Snapshot::parse("10:20:10,14,15");
  EXPECT_TRUE(snapshot.sees(3));
  EXPECT_TRUE(snapshot.sees(9));
  EXPECT_FALSE(snapshot.sees(10));
  EXPECT_TRUE(snapshot.sees(11));
  EXPECT_FALSE(snapshot.sees(15));
  EXPECT_TRUE(snapshot.sees(19));
  EXPECT_FALSE(snapshot.sees(20));
  EXPECT_FALSE(snapshot.sees(1000));
}

// The log's numbers have 32 bits and wrap around; the snapshot's have 64.
TEST(SnapshotTest, WidensTheLogsNumbersOverAWraparound) {
  auto after = *Snapshot::parse("4294967294:4294967300:4294967295,4294967297");
  EXPECT_TRUE(after.sees(4294967293U));   // Before the wrap, below xmin.
  EXPECT_TRUE(after.sees(4294967294U));   // xmin itself, not in progress.
  EXPECT_FALSE(after.sees(4294967295U));  // In progress, before the wrap.
  EXPECT_FALSE(after.sees(1));            // 4294967297, in progress.
  EXPECT_TRUE(after.sees(3));             // 4294967299.
  EXPECT_FALSE(after.sees(4));            // xmax.
  EXPECT_FALSE(after.sees(2'000'000'000));

  auto before = *Snapshot::parse("4294967290:4294967295:4294967292");
  EXPECT_TRUE(before.sees(4294967291U));
  EXPECT_FALSE(before.sees(4294967292U));
  EXPECT_FALSE(before.sees(3));  // 4294967299, of the next epoch.
  EXPECT_FALSE(before.sees(100));

  // Nothing is below transaction 0: a great number stands for the epoch ahead only if that is near.
  auto young = *Snapshot::parse("5:8:6");
  EXPECT_TRUE(young.sees(5));
  EXPECT_FALSE(young.sees(6));
  EXPECT_FALSE(young.sees(4294967295U));
}

TEST(PostgresMarkTest, SaysFromWhereOnItHasDoneItsWork) {
  PostgresMark mark(*Snapshot::parse("10:20:12"), Lsn{0x500});
  auto at = [](std::uint64_t xid, std::uint64_t lsn) {
    return model::TransactionStamp{
        .id = xid, .commit_position = position_of(Lsn{lsn}), .resume_position = {}, .commit_time = 0};
  };
  EXPECT_EQ(mark.covers(at(11, 0x400)), Coverage::kInCopy);
  EXPECT_EQ(mark.covers(at(12, 0x400)), Coverage::kAfterCopy);
  EXPECT_EQ(mark.covers(at(11, 0x500)), Coverage::kInCopy);
  EXPECT_EQ(mark.covers(at(11, 0x501)), Coverage::kAlwaysAfter);
  EXPECT_EQ(PostgresMark::parse(mark.to_text())->to_text(), mark.to_text());
  for (const char* wrong : {"", "10:20:", "10:20:@", "@0/1"})
    EXPECT_THROW(PostgresMark::parse(wrong), base::Error);
}

}  // namespace
}  // namespace ferry::postgres
