// SourceCapture: what the stream says, where it starts again, and what is kept on the source for it.

#include <algorithm>
#include <future>

#include "tests/conformance/source_conformance.h"

namespace ferry::conformance {

using model::ChangeKind;
using model::RowIdentity;

namespace {

using Rows = std::vector<SuiteRow>;

Rows after_rows(const SeenTransaction& transaction) {
  Rows rows;
  for (const SeenChange& change : transaction.changes) {
    if (change.after) rows.push_back(*change.after);
  }
  return rows;
}

// The rows of each transaction that inserts into the table.
std::vector<Rows> inserted(const SourceStream& stream, const model::TableName& table) {
  std::vector<Rows> all;
  for (const auto& transaction : stream.committed_of(table)) all.push_back(after_rows(transaction));
  return all;
}

}  // namespace

// ---- the stream

TEST_P(SourceConformance, CaptureYieldsTransactionsInCommitOrder) {
  auto running = prepare_and_start(scope({table_}));
  insert(table_, {{1, "one"}, {2, "two"}});
  commit([&](SourceSession& session) {
    session.update(table_, 1, {1, "uno"});
    session.remove(table_, 2);
    session.insert(table_, {3, std::nullopt});
  });
  insert(table_, {{4, "end"}});

  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {4, "end"}));
  auto seen = stream.committed_of(table_);
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(after_rows(seen[0]), (Rows{{1, "one"}, {2, "two"}}));
  ASSERT_EQ(seen[1].changes.size(), 3U);
  EXPECT_EQ(seen[1].changes[0].kind, ChangeKind::kUpdate);
  EXPECT_EQ(seen[1].changes[0].after, (SuiteRow{1, "uno"}));
  EXPECT_EQ(seen[1].changes[1].kind, ChangeKind::kDelete);
  ASSERT_TRUE(seen[1].changes[1].before);
  EXPECT_EQ(seen[1].changes[1].before->id, 2);
  EXPECT_EQ(seen[1].changes[2].kind, ChangeKind::kInsert);
  EXPECT_EQ(seen[1].changes[2].after, (SuiteRow{3, std::nullopt}));
  for (const auto& transaction : seen) {
    EXPECT_GT(transaction.stamp.commit_position, running.start.position);
    EXPECT_FALSE(transaction.stamp.resume_position.empty());
    EXPECT_GT(transaction.stamp.commit_time, 0);
    EXPECT_GT(transaction.stamp.id, 0U);
  }
}

TEST_P(SourceConformance, NothingBeforeTheStartIsYielded) {
  insert(table_, {{1, "before"}});
  auto running = prepare_and_start(scope({table_}));
  insert(table_, {{2, "after"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {2, "after"}));
  EXPECT_EQ(inserted(stream, table_), (std::vector<Rows>{{{2, "after"}}}));
}

TEST_P(SourceConformance, InterleavedTransactionsComeApart) {
  auto running = prepare_and_start(scope({table_}));
  auto first = fixture_->session();
  auto second = fixture_->session();
  first->begin();
  second->begin();
  for (std::int32_t i = 0; i < 5; ++i) {
    first->insert(table_, {i, "first"});
    second->insert(table_, {100 + i, "second"});
  }
  second->commit();
  first->insert(table_, {5, "first"});
  first->commit();

  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {5, "first"}));
  auto seen = inserted(stream, table_);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].size(), 5U);
  EXPECT_EQ(seen[0].front(), (SuiteRow{100, "second"}));
  EXPECT_EQ(seen[1].size(), 6U);
  EXPECT_EQ(seen[1].back(), (SuiteRow{5, "first"}));
}

TEST_P(SourceConformance, WhatIsRolledBackIsNotCommitted) {
  auto running = prepare_and_start(scope({table_}));
  auto session = fixture_->session();
  session->begin();
  session->insert(table_, {1, "rolled back"});
  session->rollback();
  session->begin();
  session->insert(table_, {2, "kept"});
  session->savepoint();
  session->insert(table_, {3, "rolled back"});
  session->savepoint();
  session->insert(table_, {4, "released, then rolled back"});
  session->release_savepoint();
  session->rollback_to_savepoint();
  session->savepoint();
  session->insert(table_, {5, "kept"});
  session->release_savepoint();
  session->commit();

  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {5, "kept"}));
  EXPECT_EQ(inserted(stream, table_), (std::vector<Rows>{{{2, "kept"}, {5, "kept"}}}));
}

TEST_P(SourceConformance, ALongTransactionSpansBatches) {
  auto running = prepare_and_start(scope({table_}));
  auto written = numbered(0, 2000);
  insert(table_, written);
  constexpr std::size_t kBytesMax = 4096;
  std::size_t batches = 0;
  Rows seen;
  bool committed = false;
  auto until = std::chrono::steady_clock::now() + kDeadline;
  while (!committed && std::chrono::steady_clock::now() < until) {
    model::ChangeBatch batch;
    running.capture->next(batch, kBytesMax, std::chrono::milliseconds(100), {});
    // One change may pass the bound; these are small ones.
    EXPECT_LE(batch.bytes(), kBytesMax + 512) << "next() goes on past bytes_max";
    ++batches;
    model::ChangeReader reader(batch);
    for (model::Change change; reader.next(change);) {
      committed = committed || change.kind == ChangeKind::kCommit;
      if (change.kind == ChangeKind::kInsert) seen.push_back(*suite_row(**change.table, change.after));
    }
  }
  EXPECT_EQ(seen, written);
  EXPECT_GT(batches, 10U);
}

TEST_P(SourceConformance, NextAppendsAndReturnsInTime) {
  auto running = prepare_and_start(scope({table_}));
  model::ChangeBatch batch;
  auto began = std::chrono::steady_clock::now();
  running.capture->next(batch, 1 << 20, std::chrono::milliseconds(200), {});
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1200))
      << "`wait` was not honoured";

  insert(table_, {{1, "one"}});
  model::ChangeBatch held;
  held.add_begin(77);
  auto until = began + kDeadline;
  while (held.count() < 2 && std::chrono::steady_clock::now() < until) {
    running.capture->next(held, 1 << 20, std::chrono::milliseconds(100), {});
  }
  model::ChangeReader reader(held);
  model::Change change;
  ASSERT_TRUE(reader.next(change));
  EXPECT_EQ(change.transaction, 77U) << "next() is to append";
  EXPECT_TRUE(reader.next(change));
}

TEST_P(SourceConformance, KeyedChangesNameTheOldKey) {
  insert(table_, {{1, "one"}});
  auto running = prepare_and_start(scope({table_}));
  commit([&](SourceSession& session) {
    session.update(table_, 1, {2, "one"});
    session.remove(table_, 2);
    session.insert(table_, {9, "end"});
  });
  SourceStream stream(*running.capture, fixture_->quirks());
  ASSERT_TRUE(stream.read_until_row(table_, {9, "end"}));
  auto changes = stream.committed_of(table_).front().changes;
  ASSERT_EQ(changes.size(), 3U);
  ASSERT_TRUE(changes[0].before) << "an update of the key is to name the old key";
  EXPECT_EQ(changes[0].before->id, 1);
  EXPECT_EQ(changes[0].after, (SuiteRow{2, "one"}));
  ASSERT_TRUE(changes[1].before);
  EXPECT_EQ(changes[1].before->id, 2);
}

TEST_P(SourceConformance, FullRowChangesHoldTheOldRow) {
  if (!fixture_->quirks().logs_full_rows) GTEST_SKIP();
  auto lines = fixture_->name("lines");
  create(lines, RowIdentity::kFullRow);
  insert(lines, {{1, "one"}, {2, std::nullopt}});
  auto running = prepare_and_start(scope({lines}));
  commit([&](SourceSession& session) {
    session.update(lines, 1, {1, "uno"});
    session.remove(lines, 2);
    session.insert(lines, {9, "end"});
  });
  SourceStream stream(*running.capture, fixture_->quirks());
  ASSERT_TRUE(stream.read_until_row(lines, {9, "end"}));
  auto changes = stream.committed_of(lines).front().changes;
  ASSERT_EQ(changes.size(), 3U);
  EXPECT_EQ(changes[0].before, (SuiteRow{1, "one"}));
  EXPECT_EQ(changes[0].after, (SuiteRow{1, "uno"}));
  EXPECT_EQ(changes[1].before, (SuiteRow{2, std::nullopt}));
  EXPECT_EQ(changes[0].table->identity, RowIdentity::kFullRow);
}

TEST_P(SourceConformance, TablesWithoutIdentityYieldInserts) {
  auto notes = fixture_->name("notes");
  create(notes, RowIdentity::kNone);
  auto running = prepare_and_start(scope({notes}));
  insert(notes, {{1, "one"}, {1, "one"}});
  insert(notes, {{9, "end"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(notes, {9, "end"}));
  EXPECT_EQ(inserted(stream, notes), (std::vector<Rows>{{{1, "one"}, {1, "one"}}, {{9, "end"}}}));
}

TEST_P(SourceConformance, ANewShapeComesBeforeItsRows) {
  insert(table_, {{1, "one"}});
  auto running = prepare_and_start(scope({table_}));
  insert(table_, {{2, "old shape"}});
  commit([&](SourceSession& session) { ASSERT_TRUE(session.add_column(table_, "extra", kDeadline)); });
  insert(table_, {{3, "new shape"}});
  SourceStream stream(*running.capture, fixture_->quirks());
  ASSERT_TRUE(stream.read_until_row(table_, {3, "new shape"}));
  std::size_t schema_changes = 0;
  std::size_t rows = 0;
  for (const auto& transaction : stream.committed_of(table_)) {
    for (const auto& change : transaction.changes) {
      if (change.kind == ChangeKind::kSchemaChange) {
        ++schema_changes;
        EXPECT_EQ(change.table->columns.size(), 3U);
        EXPECT_EQ(rows, 1U) << "the change of shape is not in its place";
      }
      if (!change.after) continue;
      ++rows;
      EXPECT_EQ(change.after_cells.size(), change.after->id == 2 ? 2U : 3U);
      if (change.after->id == 3) {
        EXPECT_EQ(change.after_cells[2], "NULL");
      }
    }
  }
  EXPECT_EQ(rows, 2U);
  if (fixture_->quirks().captures_schema_changes) {
    EXPECT_EQ(schema_changes, 1U);
  }
}

TEST_P(SourceConformance, TruncateAndDropAreInTheStream) {
  if (!fixture_->quirks().captures_truncate) GTEST_SKIP();
  insert(table_, numbered(0, 3));
  auto running = prepare_and_start(scope({table_}));
  commit([&](SourceSession& session) {
    session.truncate(table_);
    session.insert(table_, {9, "end"});
  });
  SourceStream stream(*running.capture, fixture_->quirks());
  ASSERT_TRUE(stream.read_until_row(table_, {9, "end"}));
  auto changes = stream.committed_of(table_).front().changes;
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].kind, ChangeKind::kTruncate);

  if (!fixture_->quirks().captures_schema_changes) return;
  commit([&](SourceSession& session) { session.drop_table(table_); });
  EXPECT_TRUE(stream.read_until([&] {
    return stream.found_between(table_) == ChangeKind::kDrop ||
           stream.committed_of(table_).back().changes.back().kind == ChangeKind::kDrop;
  }));
}

TEST_P(SourceConformance, ANewTableOfTheScopeIsCaptured) {
  if (!fixture_->quirks().captures_new_tables) GTEST_SKIP();
  auto later = fixture_->name("later");
  auto wanted = scope({table_});
  wanted.selects = [&](const model::TableName& table) { return table == table_ || table == later; };
  auto running = prepare_and_start(wanted);
  create(later);
  insert(later, {{1, "one"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(
      stream.read_until([&] { return stream.found_between(later) || !stream.committed_of(later).empty(); }));
  if (stream.found_between(later)) {
    // What was written before is in a load that begins now; the stream has what comes later.
    insert(later, {{2, "two"}});
    ASSERT_TRUE(stream.read_until_row(later, {2, "two"}));
    return;
  }
  ASSERT_TRUE(stream.read_until_row(later, {1, "one"}));
  auto first = stream.committed_of(later).front().changes.front();
  if (fixture_->quirks().captures_schema_changes) {
    EXPECT_EQ(first.kind, ChangeKind::kSchemaChange);
  }
}

// ---- where it starts

TEST_P(SourceConformance, ResumingYieldsExactlyWhatComesLater) {
  auto wanted = scope({table_});
  auto running = prepare_and_start(wanted);
  for (std::int32_t i = 0; i < 6; ++i) insert(table_, {{i, "a transaction"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {5, "a transaction"}));
  auto seen = stream.committed_of(table_);
  ASSERT_EQ(seen.size(), 6U);
  running.capture.reset();

  // From the start, and from after each transaction.
  for (std::size_t i = 0; i <= seen.size(); ++i) {
    auto from = i == 0 ? running.start.position : seen[i - 1].stamp.resume_position;
    auto resumed = resume(wanted, {running.start.identity, from});
    auto end = SuiteRow{static_cast<std::int32_t>(100 + i), "end"};
    insert(table_, {end});
    SourceStream again(*resumed.capture);
    ASSERT_TRUE(again.read_until_row(table_, end));
    std::vector<Rows> expected;
    for (std::size_t j = i; j < seen.size(); ++j) expected.push_back(after_rows(seen[j]));
    for (std::size_t j = 0; j <= i; ++j) expected.push_back({{static_cast<std::int32_t>(100 + j), "end"}});
    auto yielded = inserted(again, table_);
    if (fixture_->quirks().repeats_after_resume && yielded.size() > expected.size()) {
      yielded.erase(yielded.begin(), yielded.end() - static_cast<std::ptrdiff_t>(expected.size()));
    }
    EXPECT_EQ(yielded, expected) << "resumed after " << i << " transactions";
  }
}

TEST_P(SourceConformance, ATransactionOpenAtTheRestartIsYieldedWhole) {
  auto wanted = scope({table_});
  auto running = prepare_and_start(wanted);
  auto slow = fixture_->session();
  slow->begin();
  slow->insert(table_, {1, "slow"});
  insert(table_, {{2, "quick"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {2, "quick"}));
  auto from = stream.committed_of(table_).back().stamp.resume_position;
  running.capture.reset();

  auto resumed = resume(wanted, {running.start.identity, from});
  slow->insert(table_, {3, "slow"});
  slow->commit();
  SourceStream again(*resumed.capture);
  ASSERT_TRUE(again.read_until_row(table_, {3, "slow"}));
  EXPECT_EQ(inserted(again, table_).back(), (Rows{{1, "slow"}, {3, "slow"}}));
}

TEST_P(SourceConformance, ATransactionOpenAtPrepareIsYieldedOrWaitedFor) {
  auto session = fixture_->session();
  session->begin();
  session->insert(table_, {1, "open"});
  auto wanted = scope({table_});
  wanted.transaction_consistency_timeout = std::chrono::seconds(1);
  auto capture = source_->capture(notes_);
  std::optional<connector::CaptureStart> start;
  auto error = error_of([&] { start = capture->prepare(wanted, {}); });
  if (error) {
    EXPECT_EQ(error, base::ErrorKind::kSourceTimeout);
    wanted.transaction_consistency_timeout = std::chrono::seconds(0) + std::chrono::hours(1);
    auto again = source_->capture(notes_);
    expect_stops([&](std::stop_token stop) { again->prepare(wanted, stop); });
    session->commit();
    return;
  }
  capture->start(start->position, {});
  session->insert(table_, {2, "open"});
  session->commit();
  SourceStream stream(*capture);
  ASSERT_TRUE(stream.read_until_row(table_, {2, "open"}));
  EXPECT_EQ(inserted(stream, table_), (std::vector<Rows>{{{1, "open"}, {2, "open"}}}));
}

TEST_P(SourceConformance, PrepareMayBeRepeated) {
  auto wanted = scope({table_});
  source_->capture(notes_)->prepare(wanted, {});
  insert(table_, {{1, "between"}});
  auto things = fixture_->capture_things();
  auto running = prepare_and_start(wanted);
  EXPECT_EQ(fixture_->capture_things(), things) << "a second prepare() leaves something over";
  insert(table_, {{2, "after"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {2, "after"}));
  for (const auto& transaction : stream.committed()) {
    EXPECT_GT(transaction.stamp.commit_position, running.start.position);
  }
}

TEST_P(SourceConformance, AStartPositionIsHonouredOrRefused) {
  auto running = prepare_and_start(scope({table_}));
  insert(table_, {{1, "one"}});
  insert(table_, {{2, "two"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {2, "two"}));
  auto after_one = stream.committed_of(table_).front().stamp.resume_position;

  auto wanted = scope({table_});
  wanted.task_name = kOtherTask;
  wanted.start_position = after_one.text();
  auto capture = source_->capture(other_notes_);
  std::optional<connector::CaptureStart> start;
  auto error = error_of([&] { start = capture->prepare(wanted, {}); });
  if (!error) {
    capture->start(start->position, {});
    insert(table_, {{3, "three"}});
    SourceStream second(*capture);
    ASSERT_TRUE(second.read_until_row(table_, {3, "three"}));
    EXPECT_EQ(inserted(second, table_), (std::vector<Rows>{{{2, "two"}}, {{3, "three"}}}));
  }

  wanted.start_position = "no position";
  EXPECT_TRUE(error_of([&] { source_->capture(other_notes_)->prepare(wanted, {}); }));
}

// ---- heartbeats, keeping alive, acknowledging

TEST_P(SourceConformance, AnIdleSourceSendsHeartbeats) {
  auto other = fixture_->name("customers");
  create(other);
  auto wanted = scope({table_});
  auto running = prepare_and_start(wanted);
  insert(table_, {{1, "one"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {1, "one"}));
  auto resume_one = stream.resume();
  insert(other, {{1, "outside the scope"}});

  auto heard = [&] { return !stream.heartbeats().empty() && stream.resume() > resume_one; };
  for (std::chrono::milliseconds passed{0}; !heard() && passed < fixture_->quirks().heartbeat_within;
       passed += std::chrono::milliseconds(500)) {
    fixture_->pass_time(std::chrono::milliseconds(500));
    stream.read_once(std::chrono::milliseconds(100));
  }
  ASSERT_TRUE(heard()) << "no heartbeat says that the log after the last transaction was empty";
  running.capture.reset();

  insert(table_, {{2, "two"}});
  auto resumed = resume(wanted, {running.start.identity, stream.heartbeats().back().resume_position});
  SourceStream again(*resumed.capture);
  ASSERT_TRUE(again.read_until_row(table_, {2, "two"}));
  EXPECT_EQ(inserted(again, table_).back(), (Rows{{2, "two"}}));
  if (!fixture_->quirks().repeats_after_resume) {
    EXPECT_EQ(again.committed_of(table_).size(), 1U);
  }
}

TEST_P(SourceConformance, CurrentPositionIsTheLogsEndAndIsPassed) {
  auto other = fixture_->name("customers");
  create(other);
  auto running = prepare_and_start(scope({table_}));
  insert(table_, {{1, "one"}});
  insert(other, {{1, "outside the scope"}});
  auto fresh = source_->capture(notes_);
  for (auto* capture : {running.capture.get(), fresh.get()}) {
    auto end = capture->current_position({});
    EXPECT_GT(end, running.start.position);
    SourceStream stream(*running.capture);
    bool passed = false;
    auto pass = [&] {
      for (const auto& transaction : stream.committed()) EXPECT_LE(transaction.stamp.commit_position, end);
      passed = passed || stream.resume() >= end;
    };
    for (std::chrono::milliseconds waited{0}; !passed && waited < fixture_->quirks().heartbeat_within;
         waited += std::chrono::milliseconds(500)) {
      fixture_->pass_time(std::chrono::milliseconds(500));
      stream.read_once(std::chrono::milliseconds(100));
      pass();
    }
    EXPECT_TRUE(passed) << "no heartbeat passes the log's end";
  }
}

TEST_P(SourceConformance, KeepAliveKeepsTheConnection) {
  auto limit = fixture_->quirks().cuts_silent_capture_after;
  if (limit.count() == 0) GTEST_SKIP();
  auto running = prepare_and_start(scope({table_}));
  insert(table_, {{1, "one"}});
  for (std::chrono::milliseconds passed{0}; passed < 3 * limit; passed += connector::kKeepAliveInterval) {
    fixture_->pass_time(connector::kKeepAliveInterval);
    running.capture->keep_alive();
  }
  SourceStream stream(*running.capture);
  EXPECT_TRUE(stream.read_until_row(table_, {1, "one"}));
}

TEST_P(SourceConformance, WhatIsAcknowledgedMayBeForgottenAndNoMore) {
  auto wanted = scope({table_});
  auto running = prepare_and_start(wanted);
  insert(table_, {{1, "one"}});
  insert(table_, {{2, "two"}});
  insert(table_, {{3, "three"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {3, "three"}));
  auto after_two = stream.committed_of(table_)[1].stamp.resume_position;

  std::async(std::launch::async, [&] { running.capture->acknowledge(after_two); }).get();
  auto known = [&] { return fixture_->acknowledged(std::string(kTask), after_two).value_or(true); };
  EXPECT_TRUE(stream.read_until(known)) << "the acknowledgement does not reach the source";
  running.capture.reset();

  auto resumed = resume(wanted, {running.start.identity, after_two});
  SourceStream again(*resumed.capture);
  ASSERT_TRUE(again.read_until_row(table_, {3, "three"}));
  EXPECT_EQ(inserted(again, table_).back(), (Rows{{3, "three"}}));
  resumed.capture.reset();

  // What was acknowledged is either refused or still there.
  auto late = fixture_->open();
  auto capture = late->capture(notes_);
  auto error = error_of([&] {
    capture->verify(wanted, {running.start.identity, running.start.position, {}}, {});
    capture->start(running.start.position, {});
    SourceStream old(*capture);
    ASSERT_TRUE(old.read_until_row(table_, {3, "three"}));
    EXPECT_EQ(inserted(old, table_).size(), 3U) << "transactions are silently missing";
  });
  if (error) {
    EXPECT_EQ(error, base::ErrorKind::kSourceSlotLost);
  }
}

TEST_P(SourceConformance, KeepAliveSendsAcknowledgements) {
  auto running = prepare_and_start(scope({table_}));
  insert(table_, {{1, "one"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {1, "one"}));
  auto position = stream.resume();
  if (!fixture_->acknowledged(std::string(kTask), position)) GTEST_SKIP();
  running.capture->acknowledge(position);
  auto until = std::chrono::steady_clock::now() + kDeadline;
  do {
    running.capture->keep_alive();
    fixture_->pass_time(std::chrono::milliseconds(10));
  } while (!*fixture_->acknowledged(std::string(kTask), position) &&
           std::chrono::steady_clock::now() < until);
  EXPECT_TRUE(*fixture_->acknowledged(std::string(kTask), position));
}

// ---- what is kept on the source

TEST_P(SourceConformance, VerifyRefusesAnotherIdentity) {
  auto wanted = scope({table_});
  auto start = source_->capture(notes_)->prepare(wanted, {});
  auto verify = [&](model::StreamIdentity identity) {
    auto capture = source_->capture(notes_);
    return error_of([&] { capture->verify(wanted, {std::move(identity), start.position, {}}, {}); });
  };
  EXPECT_EQ(verify(start.identity), std::nullopt);
  EXPECT_EQ(verify({start.identity.text + " of another"}), base::ErrorKind::kSourceIdentity);
}

TEST_P(SourceConformance, VerifyRefusesALostLog) {
  auto wanted = scope({table_});
  auto start = source_->capture(notes_)->prepare(wanted, {});
  insert(table_, {{1, "one"}});
  if (!fixture_->lose_log(std::string(kTask))) GTEST_SKIP();
  auto capture = source_->capture(notes_);
  EXPECT_EQ(error_of([&] { capture->verify(wanted, {start.identity, start.position, {}}, {}); }),
            base::ErrorKind::kSourceSlotLost);
}

TEST_P(SourceConformance, CleanRemovesWhatPrepareMadeAndNothingElse) {
  auto other = scope({table_});
  other.task_name = kOtherTask;
  source_->capture(other_notes_)->prepare(other, {});
  auto before = fixture_->capture_things();

  auto wanted = scope({table_});
  auto capture = source_->capture(notes_);
  EXPECT_TRUE(capture->clean(wanted, {}).empty()) << "there is nothing to remove yet";
  EXPECT_EQ(fixture_->capture_things(), before);

  auto preparing = source_->capture(notes_);
  auto start = preparing->prepare(wanted, {});
  EXPECT_FALSE(preparing->created().empty());
  EXPECT_NE(fixture_->capture_things(), before);
  preparing.reset();

  EXPECT_FALSE(source_->capture(notes_)->clean(wanted, {}).empty());
  EXPECT_EQ(fixture_->capture_things(), before);
  EXPECT_TRUE(source_->capture(notes_)->clean(wanted, {}).empty()) << "clean() may be repeated";

  auto late = source_->capture(notes_);
  EXPECT_EQ(error_of([&] { late->verify(wanted, {start.identity, start.position, {}}, {}); }),
            base::ErrorKind::kSourceSlotLost);
}

TEST_P(SourceConformance, ABrokenCaptureGoesOnWithANewSource) {
  auto wanted = scope({table_});
  auto running = prepare_and_start(wanted);
  insert(table_, {{1, "one"}});
  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {1, "one"}));
  auto from = stream.resume();
  if (!fixture_->drop_connections()) GTEST_SKIP();
  insert(table_, {{2, "two"}});
  auto error = error_of([&] { stream.read_until_row(table_, {2, "two"}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(base::facts_of(*error).recovery, base::Recovery::kRecoverable);
  running.capture.reset();

  auto resumed = resume(wanted, {running.start.identity, from});
  SourceStream again(*resumed.capture);
  ASSERT_TRUE(again.read_until_row(table_, {2, "two"}));
  EXPECT_EQ(inserted(again, table_).back(), (Rows{{2, "two"}}));
}

TEST_P(SourceConformance, CaptureStops) {
  auto wanted = scope({table_});
  expect_stops_at_once([&](std::stop_token stop) { source_->capture(notes_)->prepare(wanted, stop); });
  auto running = prepare_and_start(wanted);
  auto from = running.start;
  expect_stops([&](std::stop_token stop) {
    // Heartbeats may end a wait early.
    while (!stop.stop_requested()) {
      model::ChangeBatch batch;
      running.capture->next(batch, 1 << 20, std::chrono::hours(1), stop);
    }
  });
  running.capture.reset();
  auto capture = source_->capture(notes_);
  expect_stops_at_once(
      [&](std::stop_token stop) { capture->verify(wanted, {from.identity, from.position, {}}, stop); });
  expect_stops_at_once([&](std::stop_token stop) { source_->capture(notes_)->clean(wanted, stop); });
}

}  // namespace ferry::conformance
