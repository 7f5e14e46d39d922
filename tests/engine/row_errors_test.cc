// Bad rows over restarts: each is counted once, and what they did to their table is not forgotten.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/engine_bench.h"

namespace ferry::test_support {
namespace {

using base::ErrorKind;
using engine::TableResult;
using engine::TaskResult;
using model::ErrorAction;

struct Death {
  TargetForm form;
  const char* call;
};

std::string name_of(const Death& death) {
  std::string name = std::string(death.form == TargetForm::kTables ? "Tables_" : "Objects_") + death.call;
  std::ranges::replace(name, '.', '_');
  return name;
}

const TableResult& line_of(const TaskResult& result, const model::TableName& table) {
  auto found = std::ranges::find(result.tables, table, &TableResult::source);
  if (found == result.tables.end()) throw std::out_of_range(model::to_string(table));
  return *found;
}

bool has_row(const EngineBench& bench, std::int32_t id) {
  return std::ranges::count(bench.storage.rows(kOrders), Row{int4_value(id), text_value("good")}) == 1;
}

void insert(EngineBench& bench, std::int32_t id, std::string_view text) {
  auto transaction = bench.database.begin();
  transaction->insert(kOrders, {int4_value(id), text_value(text)});
  transaction->commit();
}

// Once the source may forget them, all changes are counted.
void expect_inserts_counted(EngineBench& bench, std::int64_t inserts) {
  bench.faults.disarm();  // It may not have come to its passage.
  int streams = bench.events.seen().changes_started;
  TaskRun run(bench);
  ASSERT_TRUE(bench.events.wait_until([&] {
    if (run.ended()) return true;
    return bench.events.seen().changes_started > streams &&
           bench.database.find_slot(bench.database.slots().at(0))->confirmed >= bench.database.log_end();
  }));
  run.request_stop();
  EXPECT_EQ(line_of(run.result(), kOrders).statistics.inserts, inserts);
}

class RowErrorsOverDeaths : public testing::TestWithParam<Death> {};

TEST_P(RowErrorsOverDeaths, EachIsCountedOnce) {
  constexpr int kBadRows = 8;
  for (Fault fault : {Fault::kFails, Fault::kDoesThenFails}) {
    for (int passage = 1; passage <= 4; ++passage) {
      SCOPED_TRACE(fmt::format("{} at passage {}", fault == Fault::kFails ? "before" : "after", passage));
      EngineBench bench(GetParam().form);
      bench.target_options.refused = {"bad", "first"};
      bench.target_options.object_rows_max = 3;
      bench.target_options.transactions_max = 3;
      bench.target_options.interval = std::chrono::milliseconds(20);
      bench.make_tables(4);
      int deaths = 0;
      for (int run_number = 1; run_number <= 3; ++run_number) {
        TaskRun run(bench);
        ASSERT_TRUE(bench.events.wait_until(
            [&] { return bench.events.seen().changes_started >= run_number || run.ended(); }));
        if (run_number == 1) {
          bench.faults.arm({.call = GetParam().call, .fault = fault, .passage = passage});
          for (int i = 0; i < kBadRows; ++i) {
            insert(bench, 100 + i, "good");
            insert(bench, 200 + i, "bad");
          }
          insert(bench, 300, "good");
        }
        ASSERT_TRUE(bench.events.wait_until([&] { return has_row(bench, 300) || run.ended(); }));
        run.request_stop();
        std::optional<ErrorKind> error;
        TaskResult result;
        try {
          result = run.result();
        } catch (const base::Error& failure) {
          error = failure.kind();
        }
        if (error) {
          ++deaths;
          continue;
        }
        if (!has_row(bench, 300)) continue;
        EXPECT_EQ(line_of(result, kOrders).statistics.change_error_rows, kBadRows);
        EXPECT_EQ(line_of(result, kOrders).statistics.full_load_error_rows, 4);
        EXPECT_EQ(line_of(result, kItems).statistics.change_error_rows, 0);
        EXPECT_EQ(result.row_errors, kBadRows + 12);
      }
      EXPECT_TRUE(has_row(bench, 300));
      EXPECT_LE(deaths, 1);
      // A target that keeps the checkpoint itself may have taken what was not counted yet.
      if (GetParam().form == TargetForm::kObjects) expect_inserts_counted(bench, kBadRows + 1);
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Calls, RowErrorsOverDeaths,
    testing::Values(Death{TargetForm::kTables, "apply.apply"}, Death{TargetForm::kTables, "apply.tick"},
                    Death{TargetForm::kTables, "apply.flush"}, Death{TargetForm::kObjects, "apply.apply"},
                    Death{TargetForm::kObjects, "apply.tick"}, Death{TargetForm::kObjects, "apply.flush"},
                    Death{TargetForm::kObjects, "apply.write_object"}),
    [](const auto& made) { return name_of(made.param); });

class RowErrorsTest : public testing::TestWithParam<TargetForm> {
 protected:
  void until_it_follows(TaskRun& run, int times = 1) {
    ASSERT_TRUE(bench_.events.wait_until(
        [&] { return bench_.events.seen().changes_started >= times || run.ended(); }));
  }
  EngineBench bench_{GetParam()};
};

TEST_P(RowErrorsTest, ARefusedChangeIsCountedAsARowErrorAlone) {
  bench_.target_options.refused = {"bad"};
  bench_.make_tables(3);
  TaskRun run(bench_);
  until_it_follows(run);
  auto transaction = bench_.database.begin();
  transaction->insert(kOrders, {int4_value(900), text_value("good")});
  transaction->insert(kOrders, {int4_value(901), text_value("bad")});
  transaction->update(kOrders, {int4_value(1)}, {int4_value(1), text_value("bad")});
  transaction->update(kOrders, {int4_value(3)}, {int4_value(3), text_value("better")});
  transaction->remove(kOrders, {int4_value(5)});
  // The last one of its transaction too.
  transaction->insert(kOrders, {int4_value(902), text_value("bad")});
  transaction->commit();
  ASSERT_TRUE(bench_.events.wait_until([&] { return has_row(bench_, 900) || run.ended(); }));
  run.request_stop();
  TaskResult result = run.result();
  const engine::TableStatistics& counts = line_of(result, kOrders).statistics;
  EXPECT_EQ(counts.inserts, 1);
  EXPECT_EQ(counts.updates, 1);
  EXPECT_EQ(counts.deletes, 1);
  EXPECT_EQ(counts.change_error_rows, 3);
  EXPECT_EQ(result.rows_changed, 3);
}

TEST_P(RowErrorsTest, AChangeThatWasCountedBeforeItWasDurableIsNotCountedAgain) {
  if (GetParam() != TargetForm::kObjects) GTEST_SKIP() << "its checkpoint is never behind what is counted";
  bench_.target_options.object_rows_max = 3;
  bench_.target_options.interval = std::chrono::hours(1);
  bench_.make_tables(0);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    std::uint64_t before = bench_.database.log_end();
    // The first three rows are an object, so the checkpoint is stored in front of the second transaction.
    for (int id : {1, 3}) {
      auto transaction = bench_.database.begin();
      transaction->insert(kOrders, {int4_value(id), text_value("good")});
      transaction->insert(kOrders, {int4_value(id + 1), text_value("good")});
      transaction->commit();
    }
    ASSERT_TRUE(bench_.events.wait_until([&] {
      return bench_.database.find_slot(bench_.database.slots().at(0))->confirmed > before || run.ended();
    }));
    bench_.faults.arm({.call = "capture.next"});
    EXPECT_EQ(run.error(), ErrorKind::kInternal);
  }
  bench_.target_options.interval = std::chrono::milliseconds(20);
  expect_inserts_counted(bench_, 4);
}

TEST_P(RowErrorsTest, ATableThatIsSuspendedStopsWithinTheTransaction) {
  bench_.definition.settings.error_behavior.data_error_policy = ErrorAction::kSuspendTable;
  bench_.target_options.refused = {"bad"};
  bench_.make_tables(3);
  TaskRun run(bench_);
  until_it_follows(run);
  const Row other = {int4_value(903), text_value("other")};
  auto transaction = bench_.database.begin();
  transaction->insert(kOrders, {int4_value(900), text_value("good")});
  transaction->insert(kOrders, {int4_value(901), text_value("bad")});
  transaction->insert(kOrders, {int4_value(902), text_value("good")});
  transaction->insert(kItems, other);
  transaction->commit();
  ASSERT_TRUE(bench_.events.wait_until(
      [&] { return std::ranges::count(bench_.storage.rows(kItems), other) == 1 || run.ended(); }));
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_EQ(line_of(result, kOrders).phase, engine::TablePhase::kError);
  EXPECT_EQ(line_of(result, kOrders).statistics.inserts, 1);
  EXPECT_EQ(line_of(result, kItems).statistics.inserts, 1);
  EXPECT_FALSE(has_row(bench_, 902));
}

TEST_P(RowErrorsTest, ARefusedRowOfACopyIsNoInsert) {
  bench_.definition.migration_type = model::MigrationType::kCdc;
  bench_.target_options.refused = {"bad"};
  bench_.make_tables(1);
  TaskRun run(bench_);
  until_it_follows(run);
  const model::TableName made = {"shop", "made"};
  auto making = bench_.database.begin();
  making->create_table(shape_of(made, model::RowIdentity::kKey));
  for (int id : {1, 2, 3}) making->insert(made, {int4_value(id), text_value(id == 2 ? "bad" : "good")});
  making->commit();
  until_it_follows(run, 2);
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_EQ(line_of(result, made).statistics.inserts, 2);
  EXPECT_EQ(result.rows_changed, 2);
}

TEST_P(RowErrorsTest, AnUnfinishedLoadTakesItsCountsWithIt) {
  bench_.target_options.refused = {"first"};
  bench_.make_tables(4);
  bench_.faults.arm({.call = "load.finish", .fault = Fault::kDoesThenFails});
  EXPECT_EQ(TaskRun(bench_).error(), ErrorKind::kInternal);
  TaskRun run(bench_);
  until_it_follows(run);
  run.request_stop();
  EXPECT_EQ(run.result().row_errors, 12);
}

TEST_P(RowErrorsTest, AnEscalationGoesOnCountingAfterARestart) {
  bench_.definition.settings.error_behavior.data_error_escalation_count = 4;
  bench_.target_options.refused = {"bad"};
  bench_.make_tables(2);
  for (int round = 1; round <= 2; ++round) {
    TaskRun run(bench_);
    until_it_follows(run, round);
    for (int i = 0; i < 2; ++i) insert(bench_, 1000 * round + i, "bad");
    insert(bench_, 1000 * round + 100, "good");
    ASSERT_TRUE(bench_.events.wait_until([&] {
      return has_row(bench_, 1000 * round + 100) || !bench_.events.seen().failed.empty() || run.ended();
    }));
    run.request_stop();
    run.result();
  }
  EXPECT_THAT(bench_.events.seen().failed, testing::ElementsAre(kOrders))
      << "two rows before the restart, two after";
}

// The engine dies between the row error that suspends a table and the table's next change, after a checkpoint
// has moved past the row.
TEST_P(RowErrorsTest, ASuspensionIsStoredBeforeACheckpointMovesPastItsRow) {
  bench_.definition.settings.error_behavior.data_error_policy = ErrorAction::kSuspendTable;
  bench_.target_options.refused = {"bad"};
  bench_.make_tables(2);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    insert(bench_, 900, "bad");
    std::uint64_t bad_at = bench_.database.log_end();
    // Transactions of other tables move the checkpoint.
    auto passed = [&] {
      auto other = bench_.database.begin();
      other->insert(kVisits, {int4_value(1), text_value("more")});
      other->commit();
      auto slots = bench_.database.slots();
      return bench_.database.find_slot(slots.at(0))->confirmed > bad_at;
    };
    ASSERT_TRUE(bench_.events.wait_until([&] { return passed() || run.ended(); }));
    bench_.faults.arm({.call = "capture.next"});
    EXPECT_EQ(run.error(), ErrorKind::kInternal);
  }
  TaskRun run(bench_);
  until_it_follows(run, 2);
  insert(bench_, 901, "good");
  auto other = bench_.database.begin();
  other->insert(kItems, {int4_value(5000), text_value("last")});
  other->commit();
  ASSERT_TRUE(bench_.events.wait_until([&] { return bench_.equal(kItems) || run.ended(); }));
  run.request_stop();
  EXPECT_EQ(line_of(run.result(), kOrders).phase, engine::TablePhase::kError);
  EXPECT_FALSE(has_row(bench_, 901));
}

INSTANTIATE_TEST_SUITE_P(Targets, RowErrorsTest, testing::Values(TargetForm::kTables, TargetForm::kObjects),
                         [](const auto& made) {
                           return made.param == TargetForm::kTables ? "Tables" : "Objects";
                         });

}  // namespace
}  // namespace ferry::test_support
