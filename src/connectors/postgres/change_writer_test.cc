#include "connectors/postgres/change_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace ferry::postgres {
namespace {

using model::ChangeBatch;
using model::ChangeKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A table of one text column.
StreamTable table_named(const std::string& name, std::uint64_t oid, const std::string& column = "a") {
  auto version = std::make_shared<model::TableVersion>();
  version->name = {.schema = "public", .table = name};
  version->source_table = oid;
  version->columns.push_back({.name = column, .type = {.id = model::TypeId::kNclob}});
  StreamTable table;
  table.version = std::move(version);
  table.columns.push_back({.place = 0, .in_identity = true, .codec = {}, .read = text_reader(Codec::kText)});
  table.row_size = 1;
  return table;
}

// One word per change: its kind, transaction and subtransaction, and the value or the position.
std::vector<std::string> shown(const ChangeBatch& batch) {
  std::vector<std::string> words;
  model::ChangeReader reader(batch);
  for (model::Change change; reader.next(change);) {
    std::string ids = std::to_string(change.transaction);
    if (change.subtransaction != change.transaction) ids += "." + std::to_string(change.subtransaction);
    switch (change.kind) {
      case ChangeKind::kBegin: words.push_back("begin " + ids); break;
      case ChangeKind::kInsert:
        words.push_back("insert " + ids + " " + std::string(change.after[0].bytes));
        break;
      case ChangeKind::kTruncate: words.push_back("truncate " + ids); break;
      case ChangeKind::kSchemaChange:
        words.push_back("shape " + ids + " " + (*change.table)->name.table);
        break;
      case ChangeKind::kDrop: words.push_back("drop " + ids + " " + (*change.table)->name.table); break;
      case ChangeKind::kRollback: words.push_back("rollback " + ids); break;
      case ChangeKind::kCommit:
        words.push_back("commit " + ids + " " + change.stamp->resume_position.text());
        break;
      case ChangeKind::kHeartbeat:
        words.push_back("heartbeat " + change.stamp->resume_position.text());
        break;
      default: words.emplace_back("other");
    }
  }
  return words;
}

class ChangeWriterTest : public ::testing::Test {
 protected:
  ChangeWriterTest() { writer_.start(Lsn{0x100}); }

  void insert(const StreamTable& table, std::string_view text, std::uint32_t subtransaction = 0) {
    Value value{.kind = ValueKind::kText, .bytes = text};
    writer_.add_row(table, {.subtransaction = subtransaction, .after = {&value, 1}}, batch_);
  }
  void commit(std::uint32_t xid, std::uint64_t position) {
    writer_.commit(xid, {.position = Lsn{position}, .end = Lsn{position + 8}, .time = 0}, batch_);
  }

  const StreamTable t_ = table_named("t", 1);
  const StreamTable u_ = table_named("u", 2);
  ChangeWriter writer_;
  ChangeBatch batch_;
};

TEST_F(ChangeWriterTest, LeavesNoTraceOfTransactionsWithoutChangesButTheirPosition) {
  writer_.begin(7);
  writer_.idle(Lsn{0x999});  // Says nothing: we are within a transaction.
  commit(7, 0x200);
  EXPECT_THAT(shown(batch_), IsEmpty());
  writer_.add_heartbeat(batch_);
  writer_.add_heartbeat(batch_);
  EXPECT_THAT(shown(batch_), ElementsAre("heartbeat 0/208"));
}

TEST_F(ChangeWriterTest, SaysAShapeBeforeItsFirstChangeAndWhenItIsAnother) {
  writer_.begin(7);
  insert(t_, "a");
  insert(t_, "b");
  commit(7, 0x200);
  writer_.begin(8);
  insert(t_, "c");
  insert(table_named("t", 1), "as before");
  StreamTable altered = table_named("t", 1, "b");
  insert(altered, "d");
  commit(8, 0x300);
  EXPECT_THAT(shown(batch_),
              ElementsAre("begin 7", "shape 7 t", "insert 7 a", "insert 7 b", "commit 7 0/208", "begin 8",
                          "insert 8 c", "insert 8 as before", "shape 8 t", "insert 8 d", "commit 8 0/308"));
}

TEST_F(ChangeWriterTest, TakesTransactionsInPieces) {
  writer_.open_piece(7);
  insert(t_, "a");
  insert(t_, "b", 71);
  writer_.close_piece();
  writer_.begin(8);
  insert(t_, "c");
  commit(8, 0x200);
  writer_.roll_back(7, 71, batch_);
  writer_.open_piece(7);
  insert(t_, "d");  // Its shape may have been said by what was rolled back.
  writer_.close_piece();
  commit(7, 0x300);
  writer_.begin(9);
  insert(t_, "e");
  commit(9, 0x400);
  EXPECT_THAT(shown(batch_),
              ElementsAre("begin 7", "shape 7 t", "insert 7 a", "insert 7.71 b", "begin 8", "shape 8 t",
                          "insert 8 c", "commit 8 0/208", "rollback 7.71", "shape 7 t", "insert 7 d",
                          "commit 7 0/308", "begin 9", "insert 9 e", "commit 9 0/408"));
}

TEST_F(ChangeWriterTest, ForgetsWhatIsRolledBack) {
  writer_.open_piece(7);
  insert(t_, "a");
  writer_.close_piece();
  writer_.roll_back(7, 7, batch_);
  writer_.roll_back(99, 99, batch_);  // None of its pieces was sent.
  writer_.open_piece(8);
  writer_.close_piece();
  writer_.roll_back(8, 8, batch_);
  EXPECT_THAT(shown(batch_), ElementsAre("begin 7", "shape 7 t", "insert 7 a", "rollback 7"));
  EXPECT_THROW(commit(7, 0x200), base::Error);
}

TEST_F(ChangeWriterTest, LeavesOutWhatCommittedBeforeTheStart) {
  writer_.begin(7);
  insert(t_, "a");
  commit(7, 0xF0);
  writer_.begin(8);
  insert(t_, "b");
  commit(8, 0x100);
  EXPECT_THAT(shown(batch_), ElementsAre("begin 7", "shape 7 t", "insert 7 a", "rollback 7", "begin 8",
                                         "shape 8 t", "insert 8 b", "commit 8 0/108"));
}

TEST_F(ChangeWriterTest, SaysTheTablesOfATruncate) {
  writer_.begin(7);
  writer_.add_truncate(t_, 0, batch_);
  writer_.add_truncate(u_, 71, batch_);
  EXPECT_THAT(shown(batch_),
              ElementsAre("begin 7", "shape 7 t", "truncate 7", "shape 7.71 u", "truncate 7.71"));
}

TEST_F(ChangeWriterTest, SaysChangesOfTablesWhereTheyAreNews) {
  StreamTable altered = table_named("t", 1, "b");
  writer_.begin(7);
  writer_.add_table_change(ChangeKind::kSchemaChange, 0, t_.version, batch_);
  commit(7, 0x200);
  writer_.begin(8);
  writer_.add_table_change(ChangeKind::kSchemaChange, 0, table_named("t", 1).version, batch_);
  commit(8, 0x300);  // Without a trace.
  writer_.open_piece(9);
  writer_.add_table_change(ChangeKind::kSchemaChange, 91, altered.version, batch_);
  writer_.add_table_change(ChangeKind::kSchemaChange, 91, altered.version, batch_);
  EXPECT_EQ(writer_.last_shape(1), altered.version);
  insert(altered, "a", 91);
  writer_.add_table_change(ChangeKind::kDrop, 92, altered.version, batch_);
  EXPECT_EQ(writer_.last_shape(1), nullptr);
  writer_.close_piece();
  EXPECT_EQ(writer_.last_shape(1), t_.version);  // What is in progress is nobody else's.
  writer_.roll_back(9, 92, batch_);
  commit(9, 0x400);
  writer_.begin(10);
  writer_.add_table_change(ChangeKind::kDrop, 0, t_.version, batch_);
  commit(10, 0x500);
  EXPECT_EQ(writer_.last_shape(1), nullptr);
  EXPECT_THAT(shown(batch_), ElementsAre("begin 7", "shape 7 t", "commit 7 0/208", "begin 9", "shape 9.91 t",
                                         "insert 9.91 a", "drop 9.92 t", "rollback 9.92", "commit 9 0/408",
                                         "begin 10", "drop 10 t", "commit 10 0/508"));
}

TEST_F(ChangeWriterTest, RefusesChangesOutOfPlace) {
  EXPECT_THROW(insert(t_, "a"), base::Error);
  EXPECT_THROW(commit(7, 0x200), base::Error);
  writer_.begin(7);
  EXPECT_THROW(writer_.begin(8), base::Error);
  EXPECT_THROW(writer_.open_piece(8), base::Error);
  EXPECT_THROW(commit(8, 0x200), base::Error);
  EXPECT_THROW(writer_.roll_back(7, 7, batch_), base::Error);
  commit(7, 0x200);
  EXPECT_THROW(writer_.begin(0), base::Error);
  writer_.open_piece(9);
  EXPECT_THROW(commit(9, 0x300), base::Error);
}

TEST_F(ChangeWriterTest, RefusesRowsOfAnotherWidth) {
  writer_.begin(7);
  std::vector<Value> two(2);
  EXPECT_THROW(writer_.add_row(t_, {.after = two}, batch_), base::Error);
  std::vector<Value> binary = {{.kind = ValueKind::kBinary, .bytes = "x"}};
  EXPECT_THROW(writer_.add_row(t_, {.after = binary}, batch_), base::Error);
}

}  // namespace
}  // namespace ferry::postgres
