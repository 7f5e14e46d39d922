#include "engine/cdc/sorter.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace ferry::engine {
namespace {

using model::CellState;
using model::Change;
using model::ChangeBatch;
using model::ChangeKind;

class SorterTest : public testing::Test {
 protected:
  SorterTest() {
    folder_ = std::filesystem::temp_directory_path() / ("ferry-sorter-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    auto table = std::make_shared<model::TableVersion>();
    table->name = {"public", "t"};
    table->columns.push_back({.name = "a", .type = {.id = model::TypeId::kNclob}});
    table_ = table;
  }
  ~SorterTest() override { std::filesystem::remove_all(folder_); }

  static model::StreamPosition position(int number) {
    std::string text = std::to_string(number);
    return {std::string(8 - text.size(), '0') + text, text};
  }

  void begin(std::uint64_t transaction) { batch_->add_begin(transaction); }
  void insert(std::uint64_t transaction, std::string_view value, std::uint64_t subtransaction = 0) {
    batch_->add_row_change(ChangeKind::kInsert, transaction,
                           subtransaction == 0 ? transaction : subtransaction, table_,
                           ChangeBatch::Images::kAfter);
    batch_->add_cell(CellState::kValue, value);
  }
  void commit(std::uint64_t transaction, int at) {
    batch_->add_commit(transaction, {.id = transaction,
                                     .commit_position = position(at),
                                     .resume_position = position(at + 1),
                                     .commit_time = at});
  }
  void hand_over(Sorter& sorter) {
    sorter.add(batch_);
    batch_ = std::make_shared<ChangeBatch>();
  }

  // "id:value,value" of the next transaction; "quiet:n" for a quiet stretch; "" when there is none.
  static std::string next(Sorter& sorter) {
    std::optional<Sorter::Item> item = sorter.next();
    if (!item) return "";
    if (auto* quiet = std::get_if<Sorter::Quiet>(&*item))
      return "quiet:" + quiet->stamp.resume_position.text();
    auto& transaction = *std::get<std::unique_ptr<model::Transaction>>(*item);
    std::string text = std::to_string(transaction.stamp().id) + ":";
    for (Change change; transaction.next(change);) text += std::string(change.after[0].bytes) + ",";
    return text;
  }

  std::filesystem::path folder_;
  model::TableVersionPtr table_;
  std::shared_ptr<ChangeBatch> batch_ = std::make_shared<ChangeBatch>();
};

TEST_F(SorterTest, YieldsTransactionsInCommitOrderAlthoughTheyInterleave) {
  Sorter sorter({.memory_bytes_max = 1 << 20, .spill_folder = folder_});
  begin(1);
  insert(1, "a");
  begin(2);
  insert(2, "x");
  insert(1, "b");
  hand_over(sorter);
  EXPECT_EQ(next(sorter), "");
  insert(2, "y");
  commit(2, 10);
  insert(1, "c");
  commit(1, 20);
  hand_over(sorter);
  EXPECT_EQ(next(sorter), "2:x,y,");
  EXPECT_EQ(next(sorter), "1:a,b,c,");
  EXPECT_EQ(next(sorter), "");
  EXPECT_EQ(sorter.memory_bytes(), 0);
}

TEST_F(SorterTest, DropsWhatWasRolledBack) {
  Sorter sorter({.memory_bytes_max = 1 << 20, .spill_folder = folder_});
  begin(1);
  insert(1, "kept");
  insert(1, "gone", 5);
  insert(1, "kept too", 6);
  batch_->add_rollback(1, 5);
  begin(2);
  insert(2, "gone");
  batch_->add_rollback(2, 2);
  commit(1, 10);
  hand_over(sorter);
  EXPECT_EQ(next(sorter), "1:kept,kept too,");
  EXPECT_EQ(next(sorter), "");
  EXPECT_EQ(sorter.memory_bytes(), 0);
}

TEST_F(SorterTest, SpillsBeyondItsMemoryAndReadsBackTheSame) {
  Sorter sorter({.memory_bytes_max = 10'000, .spill_folder = folder_});
  std::string expected = "1:";
  begin(1);
  begin(2);
  insert(2, "small");
  for (int i = 0; i < 2000; ++i) {
    std::string value = "value " + std::to_string(i);
    insert(1, value);
    expected += value + ",";
    if (i % 100 == 0) hand_over(sorter);
    EXPECT_LE(sorter.memory_bytes(), 10'000 + 100 * 64);
  }
  commit(1, 10);
  commit(2, 11);
  hand_over(sorter);
  EXPECT_GT(sorter.spilled_bytes(), 50'000);
  EXPECT_EQ(next(sorter), expected);
  EXPECT_EQ(next(sorter), "2:small,");
  EXPECT_EQ(sorter.spilled_bytes(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder_)) << "spill files must not outlive a crash";
}

TEST_F(SorterTest, KeepsQuietStretchesInOrder) {
  Sorter sorter({.memory_bytes_max = 1 << 20, .spill_folder = folder_});
  begin(1);
  insert(1, "a");
  commit(1, 10);
  batch_->add_heartbeat({.id = 0, .commit_position = {}, .resume_position = position(15), .commit_time = 0});
  hand_over(sorter);
  EXPECT_EQ(next(sorter), "1:a,");
  EXPECT_EQ(next(sorter), "quiet:15");
}

TEST_F(SorterTest, ATableChangeOutsideAnyTransactionComesByItself) {
  Sorter sorter({.memory_bytes_max = 1 << 20, .spill_folder = folder_});
  begin(1);
  insert(1, "a");
  commit(1, 10);
  batch_->add_table_change(ChangeKind::kSchemaChange, 0, 0, table_);
  begin(2);
  insert(2, "b");
  commit(2, 20);
  hand_over(sorter);
  EXPECT_EQ(next(sorter), "1:a,");
  std::optional<Sorter::Item> item = sorter.next();
  ASSERT_TRUE(item);
  auto& alone = *std::get<std::unique_ptr<model::Transaction>>(*item);
  EXPECT_EQ(alone.stamp().id, 0U);
  Change change;
  ASSERT_TRUE(alone.next(change));
  EXPECT_EQ(change.kind, ChangeKind::kSchemaChange);
  EXPECT_FALSE(alone.next(change));
  item.reset();
  EXPECT_EQ(next(sorter), "2:b,");
  EXPECT_EQ(sorter.memory_bytes(), 0);
}

TEST_F(SorterTest, RefusesAChangeOutsideATransaction) {
  Sorter sorter({.memory_bytes_max = 1 << 20, .spill_folder = folder_});
  insert(7, "a");
  EXPECT_THROW(hand_over(sorter), base::Error);
}

}  // namespace
}  // namespace ferry::engine
