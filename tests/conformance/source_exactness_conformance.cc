// Mark and capture together: a copy taken amid writers, plus the transactions that its mark says it does not
// contain, is the table as it is in the end. Changes are applied strictly: one too many or too few is a
// failure.

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "tests/conformance/source_conformance.h"

namespace ferry::conformance {
namespace {

constexpr int kWriters = 3;
constexpr std::int32_t kIdsPerWriter = 40;
constexpr int kTransactionsBeforeAndAfter = 60;

// Random transactions on ids of its own: inserts, updates, deletes, key changes, rollbacks, subtransactions.
class Writer {
 public:
  Writer(SourceFixture& fixture, model::TableName table, int number)
      : session_(fixture.session()),
        table_(std::move(table)),
        random_(static_cast<unsigned>(number) + 17U),
        first_id_(number * kIdsPerWriter) {}

  void run(std::stop_token stop, std::atomic<int>& transactions) {
    while (!stop.stop_requested()) {
      transaction();
      ++transactions;
      transactions.notify_all();
    }
  }

 private:
  void transaction() {
    session_->begin();
    auto before = present_;
    for (int i = below(4); i >= 0; --i) statement();
    if (below(3) == 0) {
      auto outer = present_;
      session_->savepoint();
      for (int i = below(3); i >= 0; --i) statement();
      bool keep = below(2) == 0;
      keep ? session_->release_savepoint() : session_->rollback_to_savepoint();
      if (!keep) present_ = outer;
    }
    if (below(5) == 0) {
      session_->rollback();
      present_ = before;
      return;
    }
    session_->commit();
  }

  void statement() {
    std::int32_t id = first_id_ + below(kIdsPerWriter);
    std::string name = "version " + std::to_string(++version_);
    if (!present_.contains(id)) {
      session_->insert(table_, {id, name});
      present_.insert(id);
      return;
    }
    if (below(3) == 0) {
      session_->remove(table_, id);
      present_.erase(id);
      return;
    }
    std::int32_t to = first_id_ + below(kIdsPerWriter);
    if (present_.contains(to)) to = id;
    session_->update(table_, id, {to, name});
    present_.erase(id);
    present_.insert(to);
  }

  int below(int bound) { return std::uniform_int_distribution<int>(0, bound - 1)(random_); }

  std::unique_ptr<SourceSession> session_;
  model::TableName table_;
  std::mt19937 random_;
  std::int32_t first_id_;
  int version_ = 0;
  std::set<std::int32_t> present_;
};

// The writers' threads; ended when it is destroyed. An exception in one of them fails the test.
class Writers {
 public:
  Writers(SourceFixture& fixture, const model::TableName& table) {
    for (int i = 0; i < kWriters; ++i) {
      threads_.emplace_back([this, &fixture, table, i](std::stop_token stop) {
        try {
          Writer(fixture, table, i).run(stop, transactions_);
        } catch (const std::exception& error) {
          ADD_FAILURE() << "writer " << i << ": " << error.what();
          transactions_ += 1 << 20;
          transactions_.notify_all();
        }
      });
    }
  }

  // Returns when `count` more transactions have been made.
  void wait_for(int count) {
    int wanted = transactions_ + count;
    for (int seen = transactions_; seen < wanted; seen = transactions_) transactions_.wait(seen);
  }
  void end() {
    for (auto& thread : threads_) thread.request_stop();
    threads_.clear();
  }

 private:
  std::atomic<int> transactions_ = 0;
  std::vector<std::jthread> threads_;
};

// Makes one change to the rows, which must be there or not be there as the change says.
void apply_strictly(std::map<std::int32_t, SuiteRow>& rows, const SeenChange& change) {
  if (change.kind == model::ChangeKind::kInsert) {
    EXPECT_TRUE(rows.emplace(change.after->id, *change.after).second)
        << "row " << change.after->id << " twice";
    return;
  }
  std::int32_t old_id = change.before ? change.before->id : change.after->id;
  EXPECT_EQ(rows.erase(old_id), 1U) << "row " << old_id << " is missing";
  if (change.kind == model::ChangeKind::kUpdate) rows.emplace(change.after->id, *change.after);
}

}  // namespace

TEST_P(SourceConformance, CopyAndChangesFitExactly) {
  Writers writers(*fixture_, table_);
  writers.wait_for(kTransactionsBeforeAndAfter);
  auto running = prepare_and_start(scope({table_}));
  writers.wait_for(kTransactionsBeforeAndAfter);

  auto unload = unloads().begin(request(table_), {});
  auto mark = unload->mark();
  writers.wait_for(kTransactionsBeforeAndAfter);
  std::map<std::int32_t, SuiteRow> copied;
  for (const SuiteRow& row : read_all(*unload))
    EXPECT_TRUE(copied.emplace(row.id, row).second) << "a row twice";
  unload.reset();
  writers.end();
  SuiteRow end{1000000, "end"};
  insert(table_, {end});

  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, end));
  bool always_after = false;
  std::size_t in_copy = 0;
  for (const auto& transaction : stream.committed_of(table_)) {
    auto coverage = mark->covers(transaction.stamp);
    if (always_after) {
      EXPECT_EQ(coverage, model::Coverage::kAlwaysAfter) << "the mark takes its word back";
    }
    always_after = always_after || coverage == model::Coverage::kAlwaysAfter;
    if (coverage == model::Coverage::kInCopy) {
      ++in_copy;
      continue;
    }
    for (const auto& change : transaction.changes) apply_strictly(copied, change);
  }
  EXPECT_GT(in_copy, 0U) << "the test shows nothing";
  EXPECT_TRUE(always_after) << "a mark must have done its work some time";

  std::vector<SuiteRow> result;
  for (const auto& [id, row] : copied) result.push_back(row);
  EXPECT_EQ(result, rows(table_));
}

}  // namespace ferry::conformance
