#include "model/change_batch.h"

#include <gtest/gtest.h>

#include <utility>

namespace ferry::model {
namespace {

TableVersionPtr table_of(std::size_t columns, std::string name = "t") {
  auto table = std::make_shared<TableVersion>();
  table->name = {"s", std::move(name)};
  table->columns.resize(columns);
  return table;
}

TransactionStamp stamp_at(std::uint64_t id) {
  return {.id = id,
          .commit_position = {"commit", "c"},
          .resume_position = {"resume", "r"},
          .commit_time = 1700000000000000};
}

// The changes as text, one a line, with every cell.
std::string printed(ChangeReader reader) {
  std::string text;
  auto print = [&](const char* label, std::span<const Cell> image) {
    if (image.empty()) return;
    text += label;
    for (const Cell& cell : image)
      text += " " + std::to_string(static_cast<int>(cell.state)) + std::string(cell.bytes);
  };
  for (Change change; reader.next(change);) {
    text += std::to_string(static_cast<int>(change.kind)) + " " + std::to_string(change.transaction) + "/" +
            std::to_string(change.subtransaction);
    if (change.table != nullptr) text += " " + (*change.table)->name.table;
    if (change.stamp != nullptr) text += " stamp " + std::to_string(change.stamp->id);
    print(" before", change.before);
    print(" after", change.after);
    text += '\n';
  }
  return text;
}

}  // namespace

TEST(ChangeBatch, EveryKindThereAndBack) {
  auto table = table_of(2);
  ChangeBatch batch;
  EXPECT_TRUE(batch.empty());
  batch.add_begin(7);
  batch.add_row_change(ChangeKind::kInsert, 7, 8, table, ChangeBatch::Images::kAfter);
  batch.add_cell(CellState::kValue, "x");
  batch.add_cell(CellState::kNull, "");
  batch.add_row_change(ChangeKind::kUpdate, 7, 7, table, ChangeBatch::Images::kBoth);
  batch.add_cell(CellState::kValue, "old");
  batch.add_cell(CellState::kNotSent, "");
  batch.add_cell(CellState::kOutOfDomain, "infinity");
  batch.add_cell(CellState::kValue, "");
  batch.add_row_change(ChangeKind::kDelete, 7, 7, table, ChangeBatch::Images::kBefore);
  batch.add_cell(CellState::kValue, "gone");
  batch.add_cell(CellState::kNotSent, "");
  batch.add_table_change(ChangeKind::kTruncate, 7, 7, table);
  batch.add_rollback(7, 8);
  batch.add_commit(7, stamp_at(7));
  batch.add_heartbeat(stamp_at(0));
  EXPECT_EQ(batch.count(), 8U);
  EXPECT_EQ(printed(ChangeReader(batch)),
            "6 7/7\n"
            "0 7/8 t after 1x 0\n"
            "1 7/7 t before 1old 2 after 3infinity 1\n"
            "2 7/7 t before 1gone 2\n"
            "3 7/7 t\n"
            "8 7/8\n"
            "7 7/7 stamp 7\n"
            "9 0/0 stamp 0\n");
}

TEST(ChangeBatch, StampsArriveWhole) {
  ChangeBatch batch;
  batch.add_commit(7, stamp_at(7));
  ChangeReader reader(batch);
  Change change;
  ASSERT_TRUE(reader.next(change));
  EXPECT_EQ(change.stamp->commit_position.key(), "commit");
  EXPECT_EQ(change.stamp->resume_position.text(), "r");
  EXPECT_EQ(change.stamp->commit_time, 1700000000000000);
  EXPECT_FALSE(reader.next(change));
}

TEST(ChangeBatch, ACellMayBeBuiltInPlace) {
  auto table = table_of(2);
  ChangeBatch batch;
  batch.add_row_change(ChangeKind::kInsert, 1, 1, table, ChangeBatch::Images::kAfter);
  batch.open_cell(CellState::kValue).append(3, 'a');
  batch.close_cell();
  batch.open_cell(CellState::kValue);
  batch.close_cell();
  EXPECT_EQ(printed(ChangeReader(batch)), "0 1/1 t after 1aaa 1\n");
}

TEST(ChangeBatch, ATableIsHeldOnce) {
  auto one = table_of(0, "one");
  auto two = table_of(0, "two");
  ChangeBatch batch;
  for (const auto& table : {one, two, one, two}) batch.add_table_change(ChangeKind::kTruncate, 1, 1, table);
  EXPECT_EQ(batch.tables().size(), 2U);
  EXPECT_EQ(printed(ChangeReader(batch)), "3 1/1 one\n3 1/1 two\n3 1/1 one\n3 1/1 two\n");
}

TEST(ChangeBatch, ClearForgetsAll) {
  ChangeBatch batch;
  batch.add_commit(7, stamp_at(7));
  batch.add_table_change(ChangeKind::kDrop, 1, 1, table_of(0));
  batch.clear();
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(batch.bytes(), 0U);
  EXPECT_TRUE(batch.tables().empty());
  batch.add_commit(8, stamp_at(8));
  EXPECT_EQ(printed(ChangeReader(batch)), "7 8/8 stamp 8\n");
}

TEST(ChangeBatch, APartCanBeReadAgain) {
  ChangeBatch batch;
  for (std::uint64_t i = 1; i <= 3; ++i) batch.add_begin(i);
  ChangeReader reader(batch);
  Change change;
  ASSERT_TRUE(reader.next(change));
  auto from = reader.offset();
  ASSERT_TRUE(reader.next(change));
  EXPECT_EQ(printed(ChangeReader(batch, from, reader.offset())), "6 2/2\n");
  EXPECT_EQ(printed(ChangeReader(batch, reader.offset(), batch.bytes())), "6 3/3\n");
}

TEST(ChangeBatch, RawFormThereAndBack) {
  auto table = table_of(1);
  ChangeBatch batch;
  batch.add_begin(1);
  ChangeReader reader(batch);
  Change change;
  ASSERT_TRUE(reader.next(change));
  auto from = reader.offset();
  batch.add_row_change(ChangeKind::kInsert, 1, 2, table, ChangeBatch::Images::kAfter);
  batch.add_cell(CellState::kValue, std::string_view("a\0b", 3));
  batch.add_rollback(1, 2);

  auto again = ChangeBatch::from_raw(std::string(batch.raw(from, batch.bytes())), batch.tables());
  EXPECT_EQ(again.count(), 2U);
  EXPECT_EQ(printed(ChangeReader(again)), printed(ChangeReader(batch, from, batch.bytes())));
  EXPECT_EQ(again.tables().front(), table);
}

TEST(ChangeBatch, AMovedBatchIsReadWhereItIs) {
  ChangeBatch batch;
  batch.add_row_change(ChangeKind::kInsert, 1, 1, table_of(1), ChangeBatch::Images::kAfter);
  batch.add_cell(CellState::kValue, std::string(100, 'v'));
  ChangeBatch moved = std::move(batch);
  EXPECT_EQ(printed(ChangeReader(moved)), "0 1/1 t after 1" + std::string(100, 'v') + "\n");
}

TEST(ChangeBatch, ATableWithoutColumnsHasRows) {
  ChangeBatch batch;
  batch.add_row_change(ChangeKind::kInsert, 1, 1, table_of(0), ChangeBatch::Images::kAfter);
  batch.add_begin(2);
  EXPECT_EQ(printed(ChangeReader(batch)), "0 1/1 t\n6 2/2\n");
}

}  // namespace ferry::model
