#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "connectors/s3/directory_store.h"
#include "connectors/s3/object_names.h"
#include "connectors/s3/target.h"

namespace ferry::s3 {
namespace {

using connector::ObjectRecord;
using model::Cell;
using model::CellState;
using model::Change;
using model::ChangeBatch;
using model::ChangeKind;
using model::Checkpoint;

constexpr base::UnixMicros kStart = 1'700'000'000'000'000;  // 2023-11-14 22:13:20 UTC.

// A journal that survives the target, as the task's state does.
class Journal final : public connector::TargetJournal {
 public:
  std::vector<ObjectRecord> objects(const model::TableName& table) const override {
    std::vector<ObjectRecord> found;
    for (const ObjectRecord& record : records) {
      if (record.table == table) found.push_back(record);
    }
    return found;
  }
  std::optional<ObjectRecord> last_changes(const model::TableName& table) const override {
    std::vector<ObjectRecord> found = objects(table);
    return found.empty() ? std::nullopt : std::optional(found.back());
  }
  void intend(const ObjectRecord& object) override {
    std::erase_if(records, [&](const ObjectRecord& record) { return record.key == object.key; });
    records.push_back(object);
    if (fail_after_intend) throw base::Error(base::ErrorKind::kTargetUnwritable, "killed after the intent");
  }
  void done(const model::TableName&, const std::string& key) override {
    if (fail_before_done) throw base::Error(base::ErrorKind::kTargetUnwritable, "killed before done");
    for (ObjectRecord& record : records) record.done |= record.key == key;
  }
  void forget(const model::TableName&, const std::string& key) override {
    std::erase_if(records, [&](const ObjectRecord& record) { return record.key == key; });
  }
  void forget_load(const model::TableName&, std::uint64_t) override {}

  std::vector<ObjectRecord> records;
  bool fail_after_intend = false;
  bool fail_before_done = false;
};

class NoErrors final : public model::RowErrorSink {
 public:
  void row_error(const model::RowError& error) override { ADD_FAILURE() << error.reason; }
  void data_warning(const model::DataWarning&) override {}
};

struct Row {
  ChangeKind kind;
  std::vector<std::string> before = {};  // "-" = not sent.
  std::vector<std::string> after = {};
};

class TestTransaction final : public model::Transaction {
 public:
  TestTransaction(int at, base::UnixMicros time, model::TableVersionPtr table, std::vector<Row> rows)
      : table_(std::move(table)), rows_(std::move(rows)) {
    stamp_ = {.id = static_cast<std::uint64_t>(at),
              .commit_position = position(at),
              .resume_position = position(at + 1),
              .commit_time = time};
  }
  static model::StreamPosition position(int at) {
    std::string text = std::to_string(at);
    return {std::string(6 - text.size(), '0') + text, text};
  }
  const model::TransactionStamp& stamp() const override { return stamp_; }
  bool next(Change& change) override {
    if (at_ == rows_.size()) return false;
    const Row& row = rows_[at_++];
    before_ = cells(row.before);
    after_ = cells(row.after);
    change = Change{};
    change.kind = row.kind;
    change.table = &table_;
    change.before = before_;
    change.after = after_;
    return true;
  }

 private:
  static std::vector<Cell> cells(const std::vector<std::string>& values) {
    std::vector<Cell> cells;
    for (const std::string& value : values) {
      bool sent = value != "-";
      cells.push_back({.state = sent ? CellState::kValue : CellState::kNotSent,
                       .bytes = sent ? value : std::string_view()});
    }
    return cells;
  }
  model::TransactionStamp stamp_;
  model::TableVersionPtr table_;
  std::vector<Row> rows_;
  std::vector<Cell> before_;
  std::vector<Cell> after_;
  std::size_t at_ = 0;
};

class S3ApplyTest : public testing::Test {
 protected:
  S3ApplyTest()
      : root_(std::filesystem::temp_directory_path() / ("ferry-apply-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(root_);
    auto table = std::make_shared<model::TableVersion>();
    table->name = {"public", "t"};
    table->identity = model::RowIdentity::kKey;
    table->key = {0};
    for (std::string name : {"id", "v"}) {
      table->columns.push_back({.name = name, .type = {.id = model::TypeId::kWstring, .length = 20}});
    }
    table_ = table;
    settings_.directory = root_;
    settings_.cdc_bytes_min = 1 << 20;
    settings_.cdc_max_batch_interval = std::chrono::seconds(60);
    restart(0);
  }
  ~S3ApplyTest() override { std::filesystem::remove_all(root_); }

  // A new process: what was open is gone, the journal and the objects are there.
  void restart(int resume_after, connector::ApplyRequest request = {.memory_bytes_max = 1 << 30}) {
    apply_.reset();
    context_.emplace(connector::TargetContext{.journal = journal_, .clock = clock_, .scratch = root_});
    shared_ = std::make_shared<SharedTarget>(settings_, make_directory_store(root_), *context_);
    make_tables(shared_)->sweep({"public", "t"});
    apply_ = make_apply(shared_, request);
    apply_->recover(checkpoint(resume_after));
  }
  static Checkpoint checkpoint(int at) {
    return {.identity = {"test"},
            .resume_position = TestTransaction::position(at + 1),
            .applied_through = TestTransaction::position(at)};
  }
  void transaction(int at, std::vector<Row> rows) {
    TestTransaction transaction(at, clock_.now(), table_, std::move(rows));
    apply_->apply(transaction, checkpoint(at), errors_);
  }
  std::string durable() const { return apply_->durable().applied_through.text(); }

  // Every file below the root by its name in order, dot-files too.
  std::vector<std::pair<std::string, std::string>> files() const {
    std::map<std::string, std::string> found;
    if (!std::filesystem::exists(root_)) return {};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      found[entry.path().filename().string()] = std::string(std::istreambuf_iterator<char>(in), {});
    }
    return {found.begin(), found.end()};
  }
  std::string all_rows() const {
    std::string rows;
    for (const auto& [name, content] : files()) rows += content;
    return rows;
  }

  const std::filesystem::path root_;
  model::TableVersionPtr table_;
  S3TargetSettings settings_;
  Journal journal_;
  base::ManualClock clock_{kStart};
  NoErrors errors_;
  std::optional<connector::TargetContext> context_;
  std::shared_ptr<SharedTarget> shared_;
  std::unique_ptr<connector::TargetApply> apply_;
};

Row insert(std::string id, std::string v) {
  return {.kind = ChangeKind::kInsert, .before = {}, .after = {id, v}};
}

// Lets the process have no more than so many open files, while it lives.
class OpenFilesLimit {
 public:
  explicit OpenFilesLimit(rlim_t files_max) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few{.rlim_cur = files_max, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~OpenFilesLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  OpenFilesLimit(const OpenFilesLimit&) = delete;
  OpenFilesLimit& operator=(const OpenFilesLimit&) = delete;

 private:
  rlimit before_{};
};

TEST_F(S3ApplyTest, HasNoMoreFilesOpenThanItMay) {
  OpenFilesLimit limit(64);
  restart(0);
  for (int i = 1; i <= 100; ++i) {
    auto table = std::make_shared<model::TableVersion>(*table_);
    table->name.table = "t" + std::to_string(i);
    TestTransaction transaction(i, clock_.now(), table, {insert("1", "a")});
    apply_->apply(transaction, checkpoint(i), errors_);
  }
  apply_->flush();
  std::filesystem::recursive_directory_iterator entries(root_);
  EXPECT_EQ(std::ranges::count_if(entries, [](const auto& entry) { return entry.is_regular_file(); }), 100);
  EXPECT_EQ(durable(), "100");
}

TEST_F(S3ApplyTest, WritesOneObjectWhenItsTimeHasCome) {
  transaction(1, {insert("1", "a")});
  transaction(2, {{.kind = ChangeKind::kUpdate, .before = {}, .after = {"1", "b"}},
                  {.kind = ChangeKind::kDelete, .before = {"1", "-"}, .after = {}}});
  EXPECT_EQ(durable(), "0");
  clock_.advance(std::chrono::seconds(59));
  apply_->tick();
  EXPECT_EQ(durable(), "0");
  clock_.advance(std::chrono::seconds(1));
  apply_->tick();
  EXPECT_EQ(durable(), "2");
  ASSERT_EQ(files().size(), 1U);
  EXPECT_EQ(files()[0].first, "20231114-221420000.csv");
  EXPECT_EQ(files()[0].second, "I,1,a\nU,1,b\nD,1,\n");
}

TEST_F(S3ApplyTest, AKeyChangeIsDeleteAndInsert) {
  transaction(1, {{.kind = ChangeKind::kUpdate, .before = {"5", "-"}, .after = {"7", "x"}}});
  apply_->flush();
  EXPECT_EQ(all_rows(), "D,5,\nI,7,x\n");
}

TEST_F(S3ApplyTest, InsertsOnlyWritesNeitherHalfOfAKeyChangeAndNoOp) {
  settings_.cdc_inserts_only = true;
  restart(0);
  transaction(1,
              {insert("1", "a"), {.kind = ChangeKind::kUpdate, .before = {"1", "-"}, .after = {"7", "x"}}});
  apply_->flush();
  EXPECT_EQ(all_rows(), "1,a\n");
}

TEST_F(S3ApplyTest, InsertsAndUpdatesWritesOnlyTheInsertOfAKeyChange) {
  settings_.cdc_inserts_and_updates = true;
  restart(0);
  transaction(1, {{.kind = ChangeKind::kUpdate, .before = {"5", "-"}, .after = {"7", "x"}},
                  {.kind = ChangeKind::kDelete, .before = {"7", "-"}, .after = {}}});
  apply_->flush();
  EXPECT_EQ(all_rows(), "I,7,x\n");
}

TEST_F(S3ApplyTest, NamesIncreaseAndAreNotBeforeACommitInThem) {
  for (int i = 1; i <= 3; ++i) {
    transaction(i, {insert(std::to_string(i), "x")});
    apply_->flush();
    clock_.set_now(kStart - 3'600'000'000 * i);  // A clock that goes back.
  }
  ASSERT_EQ(files().size(), 3U);
  EXPECT_EQ(files()[0].first, "20231114-221320000.csv");
  EXPECT_EQ(files()[1].first, "20231114-221320001.csv");
  EXPECT_EQ(files()[2].first, "20231114-221320002.csv");

  clock_.set_now(kStart + 10'000'000);  // The source's clock is ahead of ours.
  TestTransaction ahead(9, kStart + 60'000'001, table_, {insert("9", "x")});
  apply_->apply(ahead, checkpoint(9), errors_);
  apply_->flush();
  EXPECT_EQ(files()[3].first, "20231114-221420001.csv");
}

TEST_F(S3ApplyTest, EachDateHasItsFolder) {
  constexpr base::UnixMicros kHour = 3'600'000'000;
  settings_.date_partition.emplace("YYYYMMDDHH", "DASH", "Asia/Seoul");
  restart(0);
  // 07:59 and 08:00 in Seoul, and 07:59 again: commit times of a log need not increase.
  const base::UnixMicros at_eight = kStart - kStart % kHour + kHour;
  clock_.set_now(at_eight + 30'000'000);
  int at = 0;
  for (base::UnixMicros time : {at_eight - 1, at_eight, at_eight - 1}) {
    ++at;
    TestTransaction transaction(at, time, table_, {insert(std::to_string(at), "x")});
    apply_->apply(transaction, checkpoint(at), errors_);
  }
  apply_->flush();
  std::vector<std::string> keys;
  for (const ObjectRecord& record : journal_.records) keys.push_back(record.key);
  EXPECT_EQ(keys, (std::vector<std::string>{"public/t/2023-11-15-07/20231115-080030000.csv",
                                            "public/t/2023-11-15-08/20231115-080030001.csv",
                                            "public/t/2023-11-15-07/20231115-080030002.csv"}));
  EXPECT_EQ(all_rows(), "I,1,x\nI,2,x\nI,3,x\n");
}

// The hour from 2 to 3 comes twice on the zone's clock.
TEST_F(S3ApplyTest, NamesIncreaseWhenSummerTimeEnds) {
  settings_.date_partition.emplace("YYYYMMDD", "NONE", "Europe/Berlin");
  restart(0);
  const base::UnixMicros end = 1'698'541'200'000'000;  // 2023-10-29 01:00 UTC.
  int at = 0;
  for (base::UnixMicros time : {end - 1'000'000, end + 1'000'000}) {
    clock_.set_now(time);
    ++at;
    transaction(at, {insert(std::to_string(at), "x")});
    apply_->flush();
  }
  ASSERT_EQ(files().size(), 2U);
  EXPECT_EQ(files()[0].first, "20231029-025959000.csv");
  EXPECT_EQ(files()[1].first, "20231029-025959001.csv");
}

// The same transactions come again after a crash at each step of writing an object.
TEST_F(S3ApplyTest, AfterACrashTheSameRowsGoIntoTheSameObject) {
  for (bool after_publish : {false, true}) {
    std::filesystem::remove_all(root_);
    journal_ = Journal();
    restart(0);
    transaction(1, {insert("1", "a"), insert("2", "b")});
    transaction(2, {insert("3", "c")});
    (after_publish ? journal_.fail_before_done : journal_.fail_after_intend) = true;
    EXPECT_THROW(apply_->flush(), base::Error);
    std::string key = journal_.records.at(0).key;
    journal_.fail_before_done = journal_.fail_after_intend = false;

    restart(0);
    clock_.advance(std::chrono::hours(1));
    transaction(1, {insert("1", "a"), insert("2", "b")});
    apply_->tick();
    EXPECT_EQ(durable(), "0") << "the clock does not cut what has its cut";
    transaction(2, {insert("3", "c")});
    EXPECT_EQ(durable(), "2");
    transaction(3, {insert("4", "d")});
    apply_->flush();
    ASSERT_EQ(files().size(), 2U);
    EXPECT_EQ(files()[0].first, name_of(key));
    EXPECT_EQ(files()[0].second, "I,1,a\nI,2,b\nI,3,c\n");
    EXPECT_EQ(files()[1].second, "I,4,d\n");
  }
}

TEST_F(S3ApplyTest, WhatIsDurableIsNotWrittenAgain) {
  settings_.cdc_bytes_min = 1;  // An object per row, also inside a transaction.
  restart(0);
  transaction(1, {insert("1", "a"), insert("2", "b")});
  EXPECT_EQ(durable(), "1");
  restart(0);  // The checkpoint of the first run was not stored.
  transaction(1, {insert("1", "a"), insert("2", "b")});
  transaction(2, {insert("3", "c")});
  EXPECT_EQ(files().size(), 3U);
  EXPECT_EQ(all_rows(), "I,1,a\nI,2,b\nI,3,c\n");
}

// A source says what a table is like with the first change after each start; that must not shift the count.
TEST_F(S3ApplyTest, AShapeAnnouncedAgainIsNoChangeOfItsOwn) {
  settings_.cdc_bytes_min = 1;
  restart(0);
  Row announcement{.kind = ChangeKind::kSchemaChange};
  transaction(1, {announcement, insert("1", "a"), insert("2", "b")});
  transaction(2, {insert("3", "c"), insert("4", "d")});
  restart(1);
  transaction(2, {announcement, insert("3", "c"), insert("4", "d")});
  EXPECT_EQ(all_rows(), "I,1,a\nI,2,b\nI,3,c\nI,4,d\n");
}

TEST_F(S3ApplyTest, AReplayThatDiffersIsAnError) {
  transaction(1, {insert("1", "a"), insert("2", "b")});
  journal_.fail_after_intend = true;
  EXPECT_THROW(apply_->flush(), base::Error);
  journal_.fail_after_intend = false;
  restart(0);
  EXPECT_THROW(transaction(2, {insert("1", "a")}); apply_->flush();
               transaction(3, {insert("2", "b")}), base::Error);
}

TEST_F(S3ApplyTest, AKilledProcessLeavesNothingHalfWritten) {
  transaction(1, {insert("1", "a")});
  auto staged = shared_->store().stage({.prefix = "public/t/"});
  staged->write("half");
  EXPECT_EQ(files().size(), 2U);
  // A killed process does not come to remove it.
  make_tables(shared_)->sweep({"public", "t"});
  EXPECT_TRUE(files().empty());
}

TEST_F(S3ApplyTest, TruncateRemovesOnlyWhereAsked) {
  std::filesystem::create_directories(root_ / "public" / "t");
  std::ofstream(root_ / "public" / "t" / "notes.txt") << "mine";
  transaction(1, {insert("1", "a")});
  apply_->flush();
  transaction(2, {{.kind = ChangeKind::kTruncate}});
  EXPECT_EQ(files().size(), 2U);
  restart(2, {.memory_bytes_max = 1 << 30, .remove_on_truncate = true, .remove_on_drop = false});
  transaction(3, {insert("2", "gone"), {.kind = ChangeKind::kTruncate}, insert("3", "stays")});
  apply_->flush();
  ASSERT_EQ(files().size(), 2U);
  EXPECT_EQ(files()[0].second, "I,3,stays\n");
  EXPECT_EQ(files()[1].first, "notes.txt");
}

TEST_F(S3ApplyTest, ANewShapeBeginsANewObject) {
  transaction(1, {insert("1", "a")});
  auto wider = std::make_shared<model::TableVersion>(*table_);
  wider->columns.push_back({.name = "w", .type = {.id = model::TypeId::kWstring, .length = 20}});
  TestTransaction next(2, clock_.now(), wider,
                       {{.kind = ChangeKind::kInsert, .before = {}, .after = {"2", "b", "c"}}});
  apply_->apply(next, checkpoint(2), errors_);
  apply_->flush();
  ASSERT_EQ(files().size(), 2U);
  EXPECT_EQ(files()[0].second, "I,1,a\n");
  EXPECT_EQ(files()[1].second, "I,2,b,c\n");
}

TEST_F(S3ApplyTest, HoldsNoMoreThanItsMemory) {
  restart(0, {.memory_bytes_max = 1});
  transaction(1, {insert("1", "a")});
  EXPECT_EQ(durable(), "1");
  EXPECT_EQ(files().size(), 1U);
}

class S3TransactionsTest : public S3ApplyTest {
 protected:
  S3TransactionsTest() {
    settings_.transactions_folder = "raw/tx/";
    settings_.data_format = DataFormat::kParquet;
    other_ = std::make_shared<model::TableVersion>(*table_);
    other_->name = {"hr", "dept"};
    restart(0);
  }
  void of_other(int at, std::vector<Row> rows) {
    TestTransaction transaction(at, clock_.now(), other_, std::move(rows));
    apply_->apply(transaction, checkpoint(at), errors_);
  }

  std::shared_ptr<model::TableVersion> other_;
};

TEST_F(S3TransactionsTest, AllTablesAreInOneObjectInTheOrderOfCommits) {
  transaction(1, {insert("1", "a")});
  of_other(2, {insert("9", "z")});
  transaction(3, {{.kind = ChangeKind::kUpdate, .before = {"1", "-"}, .after = {"2", "b"}}});
  EXPECT_EQ(durable(), "0");
  clock_.advance(std::chrono::seconds(60));
  apply_->tick();
  EXPECT_EQ(durable(), "3");
  ASSERT_EQ(files().size(), 1U);
  EXPECT_EQ(files()[0].first, "CDC_TXN-20231114221420000.csv");
  EXPECT_EQ(all_rows(), "I,t,public,1,a\nI,dept,hr,9,z\nD,t,public,1,\nI,t,public,2,b\n");
  EXPECT_EQ(journal_.records[0].key, "raw/tx/CDC_TXN-20231114221420000.csv");
}

TEST_F(S3TransactionsTest, ASizeEndsAnObjectAfterAWholeTransaction) {
  settings_.cdc_bytes_min = 1;
  restart(0);
  transaction(1, {insert("1", "a"), insert("2", "b")});
  of_other(2, {insert("9", "z")});
  ASSERT_EQ(files().size(), 2U);
  EXPECT_EQ(files()[0].second, "I,t,public,1,a\nI,t,public,2,b\n");
  EXPECT_LT(files()[0].first, files()[1].first);
}

// The same transactions come again after a crash at each step of writing an object.
TEST_F(S3TransactionsTest, AfterACrashTheSameTransactionsGoIntoTheSameObject) {
  for (bool after_publish : {false, true}) {
    std::filesystem::remove_all(root_);
    journal_ = Journal();
    restart(0);
    transaction(1, {insert("1", "a")});
    of_other(2, {insert("9", "z")});
    (after_publish ? journal_.fail_before_done : journal_.fail_after_intend) = true;
    EXPECT_THROW(apply_->flush(), base::Error);
    std::string key = journal_.records.at(0).key;
    journal_.fail_before_done = journal_.fail_after_intend = false;

    clock_.advance(std::chrono::seconds(3600));
    restart(0);
    transaction(1, {insert("1", "a")});
    apply_->flush();  // The cut decides, not the clock.
    EXPECT_EQ(durable(), "0");
    of_other(2, {insert("9", "z")});
    transaction(3, {insert("3", "c")});
    EXPECT_EQ(durable(), "2");
    apply_->flush();
    EXPECT_EQ(durable(), "3");
    ASSERT_EQ(files().size(), 2U);
    EXPECT_EQ(journal_.records[0].key, key);
    EXPECT_EQ(all_rows(), "I,t,public,1,a\nI,dept,hr,9,z\nI,t,public,3,c\n");

    restart(0);  // What is durable is not written again.
    transaction(1, {insert("1", "a")});
    of_other(2, {insert("9", "z")});
    transaction(3, {insert("3", "c")});
    apply_->flush();
    EXPECT_EQ(files().size(), 2U);
  }
}

// A table that was suspended since does not send its rows again.
TEST_F(S3TransactionsTest, AnIntentMayComeAgainWithFewerRows) {
  transaction(1, {insert("1", "a")});
  of_other(2, {insert("9", "z")});
  journal_.fail_before_done = true;
  EXPECT_THROW(apply_->flush(), base::Error);
  journal_.fail_before_done = false;

  restart(0);
  transaction(1, {insert("1", "a")});
  transaction(3, {insert("3", "c")});
  apply_->flush();
  ASSERT_EQ(files().size(), 2U);
  EXPECT_EQ(all_rows(), "I,t,public,1,a\nI,t,public,3,c\n");

  // None at all.
  transaction(4, {insert("4", "d")});
  journal_.fail_before_done = true;
  EXPECT_THROW(apply_->flush(), base::Error);
  journal_.fail_before_done = false;
  EXPECT_EQ(files().size(), 3U);
  restart(3);
  of_other(5, {insert("5", "e")});
  apply_->flush();
  EXPECT_EQ(all_rows(), "I,t,public,1,a\nI,t,public,3,c\nI,dept,hr,5,e\n");
}

TEST_F(S3TransactionsTest, NamesGoOnBehindThoseInTheFolder) {
  std::filesystem::create_directories(root_ / "raw/tx");
  std::ofstream(root_ / "raw/tx/CDC_TXN-20991231235959999.csv") << "of another task\n";
  restart(0);
  transaction(1, {insert("1", "a")});
  apply_->flush();
  ASSERT_EQ(files().size(), 2U);
  EXPECT_EQ(files()[0].second, "of another task\n");
  EXPECT_EQ(files()[1].first, "CDC_TXN-21000101000000000.csv");
}

}  // namespace
}  // namespace ferry::s3
