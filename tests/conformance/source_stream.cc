#include "tests/conformance/source_stream.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ferry::conformance {

using model::ChangeKind;

namespace {

constexpr std::size_t kBatchBytes = 1 << 20;

// Which images a row change may have (ChangeReader's comment in model/change_batch.h).
void expect_images_fit(const model::Change& change) {
  std::size_t columns = (*change.table)->columns.size();
  auto fits = [&](std::span<const model::Cell> image) { return image.empty() || image.size() == columns; };
  EXPECT_TRUE(fits(change.before) && fits(change.after))
      << "an image has another number of cells than columns";
  bool wants_after = change.kind == ChangeKind::kInsert || change.kind == ChangeKind::kUpdate;
  EXPECT_EQ(wants_after, !change.after.empty()) << "kind " << static_cast<int>(change.kind);
  if (change.kind == ChangeKind::kInsert) {
    EXPECT_TRUE(change.before.empty());
  }
  if (change.kind == ChangeKind::kDelete) {
    EXPECT_FALSE(change.before.empty());
  }
}

}  // namespace

std::vector<SeenChange> SeenTransaction::of(const model::TableName& table) const {
  std::vector<SeenChange> found;
  for (const SeenChange& change : changes) {
    if (change.table->name == table) found.push_back(change);
  }
  return found;
}

bool SourceStream::read_until(const std::function<bool()>& done, std::chrono::milliseconds deadline) {
  auto until = std::chrono::steady_clock::now() + deadline;
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) return false;
    read_once(std::chrono::milliseconds(100));
  }
  return true;
}

bool SourceStream::read_until_row(const model::TableName& table, const SuiteRow& row) {
  return read_until([&] {
    auto inserted = [&](const SeenChange& change) {
      return change.table->name == table && change.after == row;
    };
    return std::ranges::any_of(committed_, [&](const SeenTransaction& transaction) {
      return std::ranges::any_of(transaction.changes, inserted);
    });
  });
}

void SourceStream::read_once(std::chrono::milliseconds wait) {
  model::ChangeBatch batch;
  capture_.next(batch, kBatchBytes, wait, {});
  if (!batch.empty()) ++batches_;
  model::ChangeReader reader(batch);
  for (model::Change change; reader.next(change);) take(change);
}

void SourceStream::take(const model::Change& change) {
  switch (change.kind) {
    case ChangeKind::kHeartbeat:
      ASSERT_NE(change.stamp, nullptr);
      heartbeats_.push_back(*change.stamp);
      resume_ = std::max(resume_, change.stamp->resume_position);
      return;
    case ChangeKind::kBegin:
      EXPECT_FALSE(open_.contains(change.transaction)) << "a transaction begins twice";
      open_[change.transaction];
      return;
    case ChangeKind::kRollback: return roll_back(change);
    case ChangeKind::kCommit: break;
    default: return take_change(change);
  }
  ASSERT_NE(change.stamp, nullptr);
  ASSERT_TRUE(open_.contains(change.transaction)) << "a commit without a begin";
  if (!committed_.empty()) {
    EXPECT_LT(committed_.back().stamp.commit_position, change.stamp->commit_position)
        << "commits are not in the order of their positions";
  }
  EXPECT_EQ(change.stamp->id, change.transaction);
  committed_.push_back({*change.stamp, std::move(open_[change.transaction])});
  open_.erase(change.transaction);
  resume_ = std::max(resume_, change.stamp->resume_position);
}

void SourceStream::take_change(const model::Change& change) {
  ASSERT_NE(change.table, nullptr);
  if (change.transaction == 0) {
    EXPECT_TRUE(change.kind == ChangeKind::kSchemaChange || change.kind == ChangeKind::kDrop)
        << "a row outside any transaction";
    between_.insert_or_assign((*change.table)->name, change.kind);
    return;
  }
  ASSERT_TRUE(open_.contains(change.transaction)) << "a change outside its transaction";
  if (change.kind == ChangeKind::kSchemaChange && leaves_out_announcements_ &&
      announced_.insert((*change.table)->name).second) {
    return;
  }
  expect_images_fit(change);
  const model::TableVersion& table = **change.table;
  SeenChange seen{change.kind,
                  change.subtransaction,
                  *change.table,
                  suite_row(table, change.before),
                  suite_row(table, change.after),
                  {}};
  for (std::size_t i = 0; i < change.after.size(); ++i) {
    seen.after_cells.push_back(text_of(table.columns[i].type, change.after[i]));
  }
  open_[change.transaction].push_back(std::move(seen));
}

void SourceStream::roll_back(const model::Change& change) {
  ASSERT_TRUE(open_.contains(change.transaction)) << "a rollback without a begin";
  if (change.subtransaction == change.transaction) {
    open_.erase(change.transaction);
    return;
  }
  std::erase_if(open_[change.transaction],
                [&](const SeenChange& seen) { return seen.subtransaction == change.subtransaction; });
}

std::vector<SeenTransaction> SourceStream::committed_of(const model::TableName& table) const {
  std::vector<SeenTransaction> found;
  for (const SeenTransaction& transaction : committed_) {
    auto changes = transaction.of(table);
    if (!changes.empty()) found.push_back({transaction.stamp, std::move(changes)});
  }
  return found;
}

}  // namespace ferry::conformance
