// How a task goes on and how it ends, over the in-memory connector. crash_test.cc has what a crash may do to
// it.

#include "engine/replication_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/engine_bench.h"

namespace ferry::test_support {
namespace {

using base::Error;
using base::ErrorKind;
using engine::TableResult;
using engine::TaskEnd;
using engine::TaskPhase;
using engine::TaskResult;
using model::ErrorAction;
using model::MigrationType;
using testing::ElementsAre;
using testing::IsEmpty;

// A clock on which every wait is over at once, and which keeps how long each was.
class JumpingClock final : public base::ManualClock {
 public:
  using ManualClock::ManualClock;
  bool wait(std::chrono::milliseconds duration, std::stop_token stop) override {
    advance(duration);
    return !stop.stop_requested();
  }
};

class ReplicationTaskTest : public testing::TestWithParam<TargetForm> {
 protected:
  // A running task that follows changes.
  void until_it_follows(TaskRun& run) {
    ASSERT_TRUE(
        bench_.events.wait_until([&] { return bench_.events.seen().changes_started > 0 || run.ended(); }));
  }
  void until_equal(TaskRun& run) {
    ASSERT_TRUE(bench_.events.wait_until([&] { return bench_.equal() || run.ended(); }));
  }
  const TableResult& line_of(const TaskResult& result, const model::TableName& table) {
    auto found = std::ranges::find(result.tables, table, &TableResult::source);
    if (found == result.tables.end()) throw std::out_of_range(model::to_string(table));
    return *found;
  }

  EngineBench bench_{GetParam()};
};

TEST_P(ReplicationTaskTest, AFullLoadEndsByItselfAndIsThenNotDoneAgain) {
  bench_.definition.migration_type = MigrationType::kFullLoad;
  bench_.make_tables(20);
  TaskResult result = TaskRun(bench_).result();
  EXPECT_EQ(result.end, TaskEnd::kFullLoadFinished);
  EXPECT_EQ(line_of(result, kOrders).rows_loaded, 20);
  EXPECT_TRUE(bench_.equal());
  EXPECT_THAT(bench_.database.slots(), IsEmpty()) << "without changes nothing is made on the source";

  std::string before = bench_.storage.fingerprint();
  bench_.write(3);
  EXPECT_EQ(TaskRun(bench_).result().end, TaskEnd::kAlreadyFinished);
  EXPECT_EQ(bench_.storage.fingerprint(), before);
}

TEST_P(ReplicationTaskTest, LoadAndChangesFitWithoutAGapWhileWritersGoOn) {
  bench_.make_tables(20);
  TaskRun run(bench_);
  bench_.write(40);
  until_it_follows(run);
  bench_.write(10);
  until_equal(run);
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_EQ(result.end, TaskEnd::kStopped);
  EXPECT_TRUE(bench_.equal());
  EXPECT_GT(result.rows_changed, 0);
}

TEST_P(ReplicationTaskTest, WhatACopyHoldsIsLeftOutOfItsChanges) {
  bench_.definition.settings.error_behavior.recoverable_error_interval_s = 0;
  bench_.make_tables(20);
  // Capture has started when the first table's load waits for an answer that does not come.
  bench_.faults.arm({.call = "unload.begin",
                     .fault = Fault::kNeverAnswers,
                     .error = Error(ErrorKind::kSourceConnectionLost, "no answer")});
  TaskRun run(bench_);
  ASSERT_TRUE(bench_.faults.wait_for_passage("unload.begin", 1, kDeadline));
  bench_.write(10);
  bench_.faults.disarm();
  until_it_follows(run);
  bench_.write(5);
  until_equal(run);
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_TRUE(bench_.equal());
  EXPECT_EQ(line_of(result, kOrders).statistics.inserts, 5) << "the others are in the copy";
}

TEST_P(ReplicationTaskTest, ChangesAloneApplyWhatCommitsAfterTheStart) {
  bench_.definition.migration_type = MigrationType::kCdc;
  bench_.make_tables(0);
  TaskRun run(bench_);
  until_it_follows(run);
  bench_.write(10);
  until_equal(run);
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_EQ(result.end, TaskEnd::kStopped);
  EXPECT_TRUE(bench_.equal());
  EXPECT_EQ(line_of(result, kOrders).rows_loaded, 0);
  EXPECT_GT(line_of(result, kOrders).statistics.inserts, 0);
}

TEST_P(ReplicationTaskTest, AStopWritesWhatWasCapturedAlthoughItsTimeHasNotCome) {
  bench_.target_options.object_rows_max = 1'000'000;
  bench_.target_options.transactions_max = 1'000'000;
  bench_.target_options.interval = std::chrono::hours(1);
  bench_.make_tables(5);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    int before = bench_.faults.passages("apply.apply");
    bench_.write(5);
    ASSERT_TRUE(bench_.faults.wait_for_passage("apply.apply", before + 5, kDeadline));
    EXPECT_FALSE(bench_.equal());
    run.request_stop();
    EXPECT_EQ(run.result().transactions, 5);
  }
  EXPECT_TRUE(bench_.equal());
  auto slot = bench_.database.find_slot(bench_.database.slots().at(0));
  EXPECT_EQ(slot->confirmed, log_number(bench_.open_state()->checkpoint()->resume_position))
      << "the last acknowledgement has reached the source";
}

TEST_P(ReplicationTaskTest, AStoppedTaskGoesOnWhereItWas) {
  bench_.make_tables(5);
  for (int round = 0; round < 3; ++round) {
    TaskRun run(bench_);
    bench_.write(5);
    ASSERT_TRUE(bench_.events.wait_until(
        [&] { return bench_.events.seen().changes_started > round || run.ended(); }));
    until_equal(run);
    run.request_stop();
    EXPECT_EQ(run.result().end, TaskEnd::kStopped);
    bench_.write(5);
  }
  TaskRun run(bench_);
  until_equal(run);
  EXPECT_EQ(bench_.events.seen().loaded.size(), 3U) << "each table is loaded once";
  EXPECT_THAT(bench_.watch.violations(), IsEmpty());
}

TEST_P(ReplicationTaskTest, ALoadThatIsStoppedIsDoneAnewAndWhole) {
  bench_.make_tables(20);
  {
    TaskRun run(bench_);
    ASSERT_TRUE(bench_.faults.wait_for_passage("load.write", 2, kDeadline));
    run.request_stop();
    run.error();  // kStopped, or nothing where the load was over just then.
  }
  bench_.write(5);
  TaskRun run(bench_);
  until_it_follows(run);
  until_equal(run);
  run.request_stop();
  EXPECT_EQ(run.result().end, TaskEnd::kStopped);
}

TEST_P(ReplicationTaskTest, AcknowledgesOnlyStoredCheckpointsAndStoresOnlyWhatIsDurable) {
  bench_.target_options.interval = std::chrono::milliseconds(20);
  bench_.make_tables(5);
  TaskRun run(bench_);
  until_it_follows(run);
  for (int i = 0; i < 50; ++i) {
    bench_.write();
    if (i % 10 == 0) until_equal(run);
  }
  until_equal(run);
  run.request_stop();
  run.result();
  EXPECT_GT(bench_.watch.acknowledgements(), 0);
  EXPECT_THAT(bench_.watch.violations(), IsEmpty());
}

TEST(RecoveredCheckpoint, TheTargetsOwnIsWhereTheStreamStarts) {
  EngineBench bench(TargetForm::kTables);
  bench.target_options.interval = std::chrono::hours(1);
  bench.make_tables(5);
  {
    TaskRun run(bench);
    ASSERT_TRUE(
        bench.events.wait_until([&] { return bench.events.seen().changes_started > 0 || run.ended(); }));
    int before = bench.faults.passages("apply.apply");
    bench.write(5);
    ASSERT_TRUE(bench.faults.wait_for_passage("apply.apply", before + 5, kDeadline));
    // Rows and checkpoint are in the target, and its answer is lost.
    bench.faults.arm({.call = "apply.flush", .fault = Fault::kDoesThenFails});
    run.request_stop();
    EXPECT_EQ(run.error(), ErrorKind::kInternal);
  }
  model::StreamPosition own = bench.storage.checkpoint()->resume_position;
  ASSERT_LT(bench.open_state()->checkpoint()->resume_position, own);
  {
    TaskRun run(bench);
    ASSERT_TRUE(
        bench.events.wait_until([&] { return bench.events.seen().changes_started > 1 || run.ended(); }));
    EXPECT_EQ(bench.events.seen().started_at, own.text());
    run.request_stop();
    run.result();
  }
  EXPECT_GE(bench.open_state()->checkpoint()->resume_position, own);
  EXPECT_TRUE(bench.equal());
}

TEST(RecoveredCheckpoint, OneOfAnotherStreamIsNotUsed) {
  EngineBench bench(TargetForm::kTables);
  bench.make_tables(5);
  bench.storage.commit(
      {.identity = {"another"}, .resume_position = log_position(1 << 20), .applied_through = {}},
      [](auto&) {});
  TaskRun run(bench);
  ASSERT_TRUE(
      bench.events.wait_until([&] { return bench.events.seen().changes_started > 0 || run.ended(); }));
  bench.write(5);
  ASSERT_TRUE(bench.events.wait_until([&] { return bench.equal() || run.ended(); }));
  run.request_stop();
  EXPECT_EQ(run.result().end, TaskEnd::kStopped);
}

// ---- what only the user's own document allows

TEST_P(ReplicationTaskTest, ATruncateRemovesNothingUnlessTheDocumentNamesItsSetting) {
  for (bool named : {false, true}) {
    EngineBench bench(GetParam());
    if (named) {
      bench.definition.settings.named_paths.insert(
          "ChangeProcessingDdlHandlingPolicy.HandleSourceTableTruncated");
    }
    bench.make_tables(10);
    TaskRun run(bench);
    ASSERT_TRUE(
        bench.events.wait_until([&] { return bench.events.seen().changes_started > 0 || run.ended(); }));
    auto transaction = bench.database.begin();
    transaction->truncate(kOrders);
    transaction->insert(kOrders, {int4_value(900), text_value("after")});
    transaction->commit();
    ASSERT_TRUE(bench.events.wait_until([&] {
      std::vector<Row> rows = bench.storage.rows(kOrders);
      return std::ranges::count(rows, Row{int4_value(900), text_value("after")}) == 1 || run.ended();
    }));
    run.request_stop();
    run.result();
    EXPECT_EQ(bench.storage.rows(kOrders).size(), named ? 1U : 11U);
  }
}

// ---- errors of one table

TEST_P(ReplicationTaskTest, ATableThatCannotBeReadIsSuspendedAndTheOthersGoOn) {
  bench_.make_tables(5);
  bench_.faults.arm(
      {.call = "unload.begin", .passage = 2, .error = Error(ErrorKind::kSourceTable, "may not be read")});
  TaskRun run(bench_);
  until_it_follows(run);
  ASSERT_THAT(bench_.events.seen().failed, ElementsAre(kOrders)) << "the second by name";
  bench_.write(5);
  ASSERT_TRUE(bench_.events.wait_until(
      [&] { return (bench_.equal(kItems) && bench_.equal(kVisits)) || run.ended(); }));
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_EQ(line_of(result, kOrders).phase, engine::TablePhase::kError);
  EXPECT_EQ(line_of(result, kOrders).error, "may not be read");
  EXPECT_THAT(bench_.storage.rows(kOrders), IsEmpty());
  EXPECT_EQ(line_of(result, kItems).phase, engine::TablePhase::kLoaded);
}

TEST_P(ReplicationTaskTest, AHalfLoadedTableInErrorLeavesNothing) {
  bench_.make_tables(30);
  bench_.faults.arm({.call = "load.finish",
                     .fault = Fault::kDoesThenFails,
                     .error = Error(ErrorKind::kTargetTable, "the answer was bad")});
  bench_.definition.migration_type = MigrationType::kFullLoad;
  EXPECT_EQ(TaskRun(bench_).result().end, TaskEnd::kFullLoadFinished);
  EXPECT_THAT(bench_.events.seen().failed, ElementsAre(kItems));
  EXPECT_THAT(bench_.storage.rows(kItems), IsEmpty());
  EXPECT_TRUE(bench_.equal(kOrders));
}

TEST_P(ReplicationTaskTest, ATableErrorStopsTheTaskWhereThePolicySaysSo) {
  bench_.definition.settings.error_behavior.table_error_policy = ErrorAction::kStopTask;
  bench_.make_tables(5);
  bench_.faults.arm({.call = "unload.begin", .error = Error(ErrorKind::kSourceTable, "may not be read")});
  EXPECT_EQ(TaskRun(bench_).error(), ErrorKind::kTableErrors);
}

TEST_P(ReplicationTaskTest, SoManyTableErrorsAsTheEscalationSaysStopTheTask) {
  bench_.definition.settings.error_behavior.table_error_escalation_count = 2;
  bench_.make_tables(5);
  for (int passage : {1, 2}) {
    bench_.faults.arm({.call = "unload.begin",
                       .passage = passage,
                       .error = Error(ErrorKind::kSourceTable, "may not be read")});
  }
  EXPECT_EQ(TaskRun(bench_).error(), ErrorKind::kTableErrors);
  EXPECT_EQ(bench_.events.seen().failed.size(), 2U);
}

// ---- row errors

TEST_P(ReplicationTaskTest, RowErrorsAreCountedAndTheOtherRowsGoOn) {
  bench_.target_options.refused = {"first"};
  bench_.make_tables(4);
  TaskRun run(bench_);
  until_it_follows(run);
  bench_.database.begin()->rollback();
  auto transaction = bench_.database.begin();
  transaction->insert(kOrders, {int4_value(900), text_value("first")});
  transaction->insert(kOrders, {int4_value(901), text_value("kept")});
  transaction->commit();
  ASSERT_TRUE(bench_.events.wait_until([&] { return !bench_.storage.rows(kOrders).empty() || run.ended(); }));
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_EQ(result.row_errors, 13) << "four rows of each load, and one change";
  EXPECT_EQ(line_of(result, kOrders).phase, engine::TablePhase::kLoaded);
  EXPECT_EQ(bench_.storage.rows(kOrders), (std::vector<Row>{{int4_value(901), text_value("kept")}}));
}

TEST_P(ReplicationTaskTest, ARowErrorStopsTheTaskWhereThePolicySaysSo) {
  bench_.definition.settings.error_behavior.data_error_policy = ErrorAction::kStopTask;
  bench_.target_options.refused = {"first"};
  bench_.make_tables(4);
  EXPECT_EQ(TaskRun(bench_).error(), ErrorKind::kDataError);
}

TEST_P(ReplicationTaskTest, ARowErrorInChangesSuspendsItsTableAloneWhereThePolicySaysSo) {
  bench_.definition.settings.error_behavior.data_error_policy = ErrorAction::kSuspendTable;
  bench_.target_options.refused = {"bad"};
  bench_.make_tables(4);
  TaskRun run(bench_);
  until_it_follows(run);
  auto bad = bench_.database.begin();
  bad->insert(kOrders, {int4_value(900), text_value("bad")});
  bad->commit();
  ASSERT_TRUE(bench_.events.wait_until([&] {
    bench_.write();  // A table is left alone from its next change on.
    return !bench_.events.seen().failed.empty() || run.ended();
  }));
  bench_.write(3);
  ASSERT_TRUE(bench_.events.wait_until(
      [&] { return (bench_.equal(kItems) && bench_.equal(kVisits)) || run.ended(); }));
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_EQ(line_of(result, kOrders).phase, engine::TablePhase::kError);
  EXPECT_EQ(line_of(result, kItems).phase, engine::TablePhase::kLoaded);
  EXPECT_FALSE(bench_.equal(kOrders));
}

// ---- errors that may pass

TEST_P(ReplicationTaskTest, ALostConnectionIsTriedAgainAtTheIntervalsOfTheSettings) {
  JumpingClock clock(0);
  bench_.clock = &clock;
  bench_.definition.settings.error_behavior.recoverable_error_interval_s = 5;
  bench_.make_tables(4);
  for (int passage : {1, 2, 3}) {
    bench_.faults.arm({.call = "source.check",
                       .passage = passage,
                       .error = Error(ErrorKind::kSourceUnreachable, "nobody answers")});
  }
  TaskRun run(bench_);
  until_it_follows(run);
  bench_.write(3);
  run.request_stop();
  run.result();
  EXPECT_THAT(bench_.events.seen().waits_s, ElementsAre(5, 10, 20));
  EXPECT_EQ(clock.now(), 35'000'000);
}

TEST_P(ReplicationTaskTest, ProgressBeginsTheIntervalsAnew) {
  JumpingClock clock(0);
  bench_.clock = &clock;
  bench_.make_tables(4);
  bench_.faults.arm(
      {.call = "source.check", .error = Error(ErrorKind::kSourceUnreachable, "nobody answers")});
  bench_.faults.arm({.call = "capture.start", .error = Error(ErrorKind::kSourceConnectionLost, "it broke")});
  TaskRun run(bench_);
  until_it_follows(run);
  run.request_stop();
  run.result();
  EXPECT_THAT(bench_.events.seen().waits_s, ElementsAre(5, 5)) << "between the two the tables were loaded";
}

TEST_P(ReplicationTaskTest, TheTaskFailsWhenTheTriesAreUsedUp) {
  JumpingClock clock(0);
  bench_.clock = &clock;
  bench_.definition.settings.error_behavior.recoverable_error_count = 2;
  bench_.make_tables(4);
  bench_.database.set_reachable(false);
  EXPECT_EQ(TaskRun(bench_).error(), ErrorKind::kSourceUnreachable);
  EXPECT_EQ(bench_.events.seen().waits_s.size(), 2U);
}

TEST_P(ReplicationTaskTest, AFirstContactThatFailsEndsTheTaskWhereAskedFor) {
  bench_.task_options.fail_on_first_contact = true;
  bench_.make_tables(4);
  bench_.database.set_reachable(false);
  EXPECT_EQ(TaskRun(bench_).error(), ErrorKind::kSourceUnreachable);
  EXPECT_THAT(bench_.events.seen().waits_s, IsEmpty());
}

TEST_P(ReplicationTaskTest, AServerThatRestartsIsRiddenOut) {
  bench_.definition.settings.error_behavior.recoverable_error_interval_s = 0;
  bench_.make_tables(10);
  TaskRun run(bench_);
  until_it_follows(run);
  for (int i = 0; i < 3; ++i) {
    int started = bench_.events.seen().changes_started;
    bench_.write(5);
    bench_.database.drop_connections();
    ASSERT_TRUE(bench_.events.wait_until(
        [&] { return bench_.events.seen().changes_started > started || run.ended(); }));
    bench_.write(5);
  }
  until_equal(run);
  run.request_stop();
  EXPECT_EQ(run.result().end, TaskEnd::kStopped);
  EXPECT_TRUE(bench_.equal());
  EXPECT_THAT(bench_.watch.violations(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Targets, ReplicationTaskTest,
                         testing::Values(TargetForm::kTables, TargetForm::kObjects), [](const auto& made) {
                           return made.param == TargetForm::kTables ? "Tables" : "Objects";
                         });

}  // namespace
}  // namespace ferry::test_support
