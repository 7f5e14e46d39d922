// Tables that appear, are renamed, dropped and made anew while a task runs, whatever dies meanwhile.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/engine_bench.h"

namespace ferry::test_support {
namespace {

using base::ErrorKind;
using engine::TablePhase;
using engine::TaskEnd;
using engine::TaskResult;
using model::MigrationType;
using testing::IsEmpty;

const model::TableName kNew = {"shop", "new"};
const model::TableName kMoved = {"shop", "moved"};

Row row(std::int32_t id, std::string_view name = "made") { return {int4_value(id), text_value(name)}; }

class TablesComeAndGo : public testing::TestWithParam<TargetForm> {
 protected:
  static void create(MemoryTransaction& transaction, const model::TableName& name) {
    transaction.create_table(shape_of(name, model::RowIdentity::kKey));
  }
  static void insert(EngineBench& bench, const model::TableName& table, std::int32_t id) {
    auto transaction = bench.database.begin();
    transaction->insert(table, row(id));
    transaction->commit();
  }
  static void rename(EngineBench& bench, const model::TableName& from, const model::TableName& to) {
    auto transaction = bench.database.begin();
    model::TableVersion shape = *bench.database.describe(from);
    shape.name = to;
    transaction->change_table(from, shape);
    transaction->commit();
  }
  void until_it_follows(TaskRun& run, int times = 1) {
    ASSERT_TRUE(bench_.events.wait_until(
        [&] { return bench_.events.seen().changes_started >= times || run.ended(); }));
  }
  void until_equal(TaskRun& run, const std::vector<model::TableName>& tables) {
    ASSERT_TRUE(bench_.events.wait_until([&] {
      return run.ended() ||
             std::ranges::all_of(tables, [&](const model::TableName& table) { return bench_.equal(table); });
    }));
  }
  // … and the stream goes on after their copies.
  void until_copied(TaskRun& run, const std::vector<model::TableName>& tables, int pauses = 1) {
    until_equal(run, tables);
    until_it_follows(run, 1 + pauses);
  }
  std::vector<TablePhase> phases_of(const model::TableName& table) {
    std::vector<TablePhase> phases;
    for (const engine::TableState& state : bench_.open_state()->tables()) {
      if (state.source == table) phases.push_back(state.phase);
    }
    return phases;
  }
  std::size_t loaded_times(const model::TableName& table) const {
    auto loaded = bench_.events.seen().loaded;
    return static_cast<std::size_t>(std::ranges::count(loaded, table));
  }

  EngineBench bench_{GetParam()};
};

TEST_P(TablesComeAndGo, ANewTableIsLoadedWithWhatItHoldsAndFollowed) {
  bench_.make_tables(5);
  TaskRun run(bench_);
  until_it_follows(run);
  auto making = bench_.database.begin();
  create(*making, kNew);
  for (int i = 0; i < 30; ++i) making->insert(kNew, row(i));
  making->commit();
  bench_.write(5);
  insert(bench_, kNew, 100);
  until_equal(run, {kNew, kOrders, kItems, kVisits});
  insert(bench_, kNew, 101);
  bench_.write(5);
  until_equal(run, {kNew, kOrders, kItems, kVisits});
  run.request_stop();
  EXPECT_EQ(run.result().end, TaskEnd::kStopped);
  EXPECT_TRUE(bench_.equal(kNew));
  EXPECT_EQ(loaded_times(kNew), 1U);
  EXPECT_EQ(loaded_times(kOrders), 1U);
  EXPECT_THAT(bench_.events.seen().waits_s, IsEmpty()) << "a pause is no retry";
}

TEST_P(TablesComeAndGo, TablesMadeAtOnceShareAPause) {
  bench_.task_options.gather_interval = engine::TaskOptions().gather_interval;
  bench_.make_tables(2);
  TaskRun run(bench_);
  until_it_follows(run);
  std::vector<model::TableName> made;
  for (int i = 0; i < 20; ++i) {
    made.push_back({"shop", fmt::format("new_{}", i)});
    auto making = bench_.database.begin();
    create(*making, made.back());
    making->insert(made.back(), row(i));
    making->commit();
  }
  until_copied(run, made);
  run.request_stop();
  run.result();
  EXPECT_LE(bench_.events.seen().changes_started, 4);
}

TEST_P(TablesComeAndGo, ATableMadeWhileTheTaskWasDownIsLoaded) {
  bench_.make_tables(2);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    run.request_stop();
    run.result();
  }
  auto making = bench_.database.begin();
  create(*making, kNew);
  making->insert(kNew, row(1));
  making->commit();
  TaskRun run(bench_);
  until_copied(run, {kNew}, 2);
  run.request_stop();
  run.result();
  EXPECT_TRUE(bench_.equal(kNew));
}

TEST_P(TablesComeAndGo, ATableThatIsGoneBeforeItsCopyIsNoError) {
  bench_.make_tables(2);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    auto making = bench_.database.begin();
    create(*making, kNew);
    making->commit();
    auto dropping = bench_.database.begin();
    dropping->drop_table(kNew);
    dropping->commit();
    ASSERT_TRUE(
        bench_.events.wait_until([&] { return bench_.events.seen().changes_started > 1 || run.ended(); }));
    bench_.write(3);
    until_equal(run, {kOrders});
    run.request_stop();
    EXPECT_EQ(run.result().tables.size(), 3U);
  }
  EXPECT_THAT(bench_.events.seen().failed, IsEmpty());
  EXPECT_THAT(phases_of(kNew), IsEmpty());
}

// The log has the commit before snapshots see it.
TEST_P(TablesComeAndGo, ACopyWaitsUntilItSeesWhatTheStreamHasLeftOut) {
  bench_.make_tables(2);
  TaskRun run(bench_);
  until_it_follows(run);
  auto making = bench_.database.begin();
  create(*making, kNew);
  making->insert(kNew, row(1));
  making->commit();
  auto late = bench_.database.begin();
  late->insert(kNew, row(2));
  int begun = bench_.faults.passages("unload.begin");
  late->commit_unseen();
  ASSERT_TRUE(bench_.faults.wait_for_passage("unload.begin", begun + 2, kDeadline)) << "it tries again";
  late->become_seen();
  until_copied(run, {kNew});
  run.request_stop();
  run.result();
  EXPECT_TRUE(bench_.equal(kNew));
}

TEST_P(TablesComeAndGo, InATaskOfChangesAloneItsRowsComeAsInserts) {
  bench_.definition.migration_type = MigrationType::kCdc;
  bench_.make_tables(0);
  TaskRun run(bench_);
  until_it_follows(run);
  auto making = bench_.database.begin();
  create(*making, kNew);
  for (int i = 0; i < 30; ++i) making->insert(kNew, row(i));
  making->commit();
  bench_.write(3);
  insert(bench_, kNew, 100);
  until_equal(run, {kNew, kOrders});
  auto changing = bench_.database.begin();
  changing->update(kNew, {int4_value(3)}, row(3, "changed"));
  changing->remove(kNew, {int4_value(4)});
  changing->commit();
  until_equal(run, {kNew});
  run.request_stop();
  run.result();
  EXPECT_TRUE(bench_.equal(kNew));
  EXPECT_EQ(loaded_times(kNew), 0U);
}

TEST_P(TablesComeAndGo, ATableMadeAnewFollowsTheOldOne) {
  bench_.definition.settings.named_paths.insert("ChangeProcessingDdlHandlingPolicy.HandleSourceTableDropped");
  bench_.make_tables(5);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    auto anew = bench_.database.begin();
    anew->insert(kOrders, row(5000));
    anew->drop_table(kOrders);
    create(*anew, kOrders);
    for (int i = 0; i < 7; ++i) anew->insert(kOrders, row(i, "anew"));
    anew->commit();
    insert(bench_, kOrders, 100);
    until_equal(run, {kOrders});
    insert(bench_, kOrders, 101);
    until_equal(run, {kOrders});
    run.request_stop();
    run.result();
    EXPECT_TRUE(bench_.equal(kOrders));
  }
  EXPECT_THAT(phases_of(kOrders), testing::ElementsAre(TablePhase::kLoaded)) << "the old one is forgotten";
}

// What the old one had is not durable yet when the engine dies: the copy is not taken before it is.
TEST_P(TablesComeAndGo, ATableMadeAnewWaitsForTheOldOnesChangesAfterADeath) {
  bench_.definition.settings.named_paths.insert("ChangeProcessingDdlHandlingPolicy.HandleSourceTableDropped");
  bench_.target_options.interval = std::chrono::hours(1);
  bench_.target_options.object_rows_max = 1000;
  bench_.make_tables(5);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    bench_.faults.arm({.call = "apply.flush"});
    insert(bench_, kOrders, 5000);
    auto anew = bench_.database.begin();
    anew->insert(kOrders, row(5001));
    anew->drop_table(kOrders);
    create(*anew, kOrders);
    anew->insert(kOrders, row(1, "anew"));
    anew->commit();
    EXPECT_EQ(run.error(), ErrorKind::kInternal);
  }
  EXPECT_EQ(phases_of(kOrders).size(), 2U) << "it was noticed";
  bench_.target_options.interval = std::chrono::milliseconds(20);
  TaskRun run(bench_);
  until_it_follows(run, 2);
  insert(bench_, kItems, 6000);
  until_equal(run, {kItems, kOrders});
  run.request_stop();
  run.error();  // kStopped, or nothing where the copy was known to be complete.
  EXPECT_TRUE(bench_.equal(kOrders));
}

TEST_P(TablesComeAndGo, ARenamedTableGoesOnUnderItsNewName) {
  bench_.make_tables(5);
  TaskRun run(bench_);
  until_it_follows(run);
  insert(bench_, kOrders, 900);
  until_equal(run, {kOrders});
  std::vector<Row> before = bench_.storage.rows(kOrders);
  rename(bench_, kOrders, kMoved);
  insert(bench_, kMoved, 901);
  ASSERT_TRUE(bench_.events.wait_until([&] { return !bench_.storage.rows(kMoved).empty() || run.ended(); }));
  run.request_stop();
  TaskResult result = run.result();
  EXPECT_EQ(bench_.storage.rows(kOrders), before);
  EXPECT_EQ(bench_.storage.rows(kMoved), (std::vector<Row>{row(901)}));
  EXPECT_EQ(loaded_times(kMoved), 0U);
  auto line = std::ranges::find(result.tables, kMoved, &engine::TableResult::source);
  ASSERT_NE(line, result.tables.end());
  EXPECT_EQ(line->statistics.ddls, 1);
  EXPECT_EQ(line->statistics.inserts, 1);
}

TEST_P(TablesComeAndGo, EachDdlIsCountedOnceAndAShapeThatIsSaidAgainIsNot) {
  for (bool has_load : {true, false}) {
    SCOPED_TRACE(has_load);
    EngineBench bench(GetParam());
    if (!has_load) bench.definition.migration_type = MigrationType::kCdc;
    bench.make_tables(2);
    int runs = 0;
    auto alter_and_insert = [&](std::optional<int> added, std::int32_t id) {
      model::TableVersion shape = *bench.database.describe(kOrders);
      auto transaction = bench.database.begin();
      if (added) {
        shape.columns.resize(2);
        for (int i = 0; i < *added; ++i) {
          shape.columns.push_back(shape.columns[1]);
          shape.columns.back().name = fmt::format("added_{}", i);
          shape.columns.back().source_number = 10 + i;
        }
        transaction->change_table(kOrders, shape);
      }
      Row inserted = row(id);
      inserted.resize(shape.columns.size(), text_value("more"));
      transaction->insert(kOrders, inserted);
      transaction->commit();
    };
    auto ddls_after_run = [&](auto work) {
      TaskRun run(bench);
      EXPECT_TRUE(
          bench.events.wait_until([&] { return bench.events.seen().changes_started > runs || run.ended(); }));
      ++runs;
      std::size_t before = bench.storage.rows(kOrders).size();
      work();
      EXPECT_TRUE(bench.events.wait_until(
          [&] { return bench.storage.rows(kOrders).size() > before || run.ended(); }));
      run.request_stop();
      TaskResult result = run.result();
      return std::ranges::find(result.tables, kOrders, &engine::TableResult::source)->statistics.ddls;
    };
    EXPECT_EQ(ddls_after_run([&] { alter_and_insert(1, 900); }), 1) << "the first after the start";
    EXPECT_EQ(ddls_after_run([&] { alter_and_insert(1, 901); }), 1) << "known from the run before";
    EXPECT_EQ(ddls_after_run([&] { alter_and_insert(2, 902); }), 2);
    EXPECT_EQ(ddls_after_run([&] { alter_and_insert(std::nullopt, 903); }), 2);
  }
}

TEST_P(TablesComeAndGo, TwoTablesThatChangePlacesAreFollowedAndNotLoadedAgain) {
  bench_.make_tables(2);
  TaskRun run(bench_);
  until_it_follows(run);
  auto swap = bench_.database.begin();
  swap->change_table(kOrders, shape_of(kMoved, model::RowIdentity::kKey));
  swap->change_table(kItems, shape_of(kOrders, model::RowIdentity::kKey));
  swap->change_table(kMoved, shape_of(kItems, model::RowIdentity::kKey));
  swap->commit();
  insert(bench_, kOrders, 5000);
  insert(bench_, kItems, 5001);
  auto has = [&](const model::TableName& table, std::int32_t id) {
    return std::ranges::count(bench_.storage.rows(table), row(id)) == 1;
  };
  ASSERT_TRUE(
      bench_.events.wait_until([&] { return (has(kOrders, 5000) && has(kItems, 5001)) || run.ended(); }));
  run.request_stop();
  EXPECT_EQ(run.result().end, TaskEnd::kStopped);
  EXPECT_EQ(bench_.events.seen().loaded.size(), 3U);
}

TEST_P(TablesComeAndGo, ATableRenamedToAnUnselectedNameLeavesTheTask) {
  bench_.mapping_patterns = {"shop.%"};
  bench_.make_tables(2);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    rename(bench_, kOrders, {"elsewhere", "orders"});
    insert(bench_, {"elsewhere", "orders"}, 900);
    insert(bench_, kItems, 901);
    until_equal(run, {kItems});
    run.request_stop();
    EXPECT_EQ(run.result().end, TaskEnd::kStopped);
  }
  EXPECT_THAT(phases_of(kOrders), testing::ElementsAre(TablePhase::kLeft));
  EXPECT_THAT(bench_.events.seen().failed, IsEmpty());
}

TEST_P(TablesComeAndGo, ADroppedTableIsSaidToBe) {
  bench_.make_tables(2);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    auto drop = bench_.database.begin();
    drop->drop_table(kOrders);
    drop->insert(kItems, row(900));
    drop->commit();
    until_equal(run, {kItems});
    run.request_stop();
    run.result();
  }
  EXPECT_THAT(phases_of(kOrders), testing::ElementsAre(TablePhase::kDropped));
  EXPECT_EQ(bench_.storage.rows(kOrders).size(), 2U) << "nothing is removed unasked";
}

INSTANTIATE_TEST_SUITE_P(Targets, TablesComeAndGo, testing::Values(TargetForm::kTables, TargetForm::kObjects),
                         [](const auto& made) {
                           return made.param == TargetForm::kTables ? "Tables" : "Objects";
                         });

// ---- deaths

struct Death {
  TargetForm form;
  MigrationType type;
  const char* call;
};

std::string name_of(const Death& death) {
  std::string name = fmt::format("{}_{}_{}", death.form == TargetForm::kTables ? "Tables" : "Objects",
                                 death.type == MigrationType::kCdc ? "Cdc" : "LoadAndCdc", death.call);
  std::ranges::replace(name, '.', '_');
  return name;
}

class TablesComeAndGoOverDeaths : public testing::TestWithParam<Death> {};

// A new table, one that is made anew and one that is renamed; death at any call from the first of it on.
TEST_P(TablesComeAndGoOverDeaths, TheFilesAreTheSame) {
  constexpr int kRunsMax = 4;
  for (Fault fault : {Fault::kFails, Fault::kDoesThenFails}) {
    for (int passage : {1, 2, 4}) {
      SCOPED_TRACE(fmt::format("death number {} {}", passage, fault == Fault::kFails ? "before" : "after"));
      EngineBench bench(GetParam().form);
      bench.definition.migration_type = GetParam().type;
      bench.definition.settings.named_paths.insert(
          "ChangeProcessingDdlHandlingPolicy.HandleSourceTableDropped");
      bench.target_options.object_rows_max = 3;
      bench.target_options.interval = std::chrono::milliseconds(20);
      bench.source_options.slices = 2;
      bench.make_tables(GetParam().type == MigrationType::kCdc ? 0 : 4);
      bool moved = false;
      for (int run_number = 1; run_number <= kRunsMax; ++run_number) {
        TaskRun run(bench);
        ASSERT_TRUE(
            bench.events.wait_until([&] { return bench.events.seen().changes_started >= 1 || run.ended(); }));
        if (!std::exchange(moved, true)) {
          auto before = bench.database.begin();
          before->insert(kItems, row(7000));
          before->commit();
          ASSERT_TRUE(bench.events.wait_until([&] { return bench.equal(kItems) || run.ended(); }));
          bench.faults.arm({.call = GetParam().call, .fault = fault, .passage = passage});
          auto first = bench.database.begin();
          first->insert(kOrders, row(8000));
          first->insert(kItems, row(7001));
          first->commit();
          auto making = bench.database.begin();
          making->create_table(shape_of(kNew, model::RowIdentity::kKey));
          for (int i = 0; i < 8; ++i) making->insert(kNew, row(i));
          making->insert(kOrders, row(8001));
          making->drop_table(kOrders);
          making->create_table(shape_of(kOrders, model::RowIdentity::kKey));
          for (int i = 0; i < 8; ++i) making->insert(kOrders, row(i, "anew"));
          making->commit();
          auto renaming = bench.database.begin();
          renaming->insert(kItems, row(7002));
          renaming->change_table(kItems, shape_of(kMoved, model::RowIdentity::kKey));
          renaming->insert(kMoved, row(7003));
          renaming->commit();
          for (int i = 0; i < 6; ++i) {
            auto more = bench.database.begin();
            for (const model::TableName& table : {kNew, kOrders, kMoved}) more->insert(table, row(9000 + i));
            more->update(kNew, {int4_value(i)}, row(i, "changed"));
            more->remove(kOrders, {int4_value(i)});
            more->commit();
          }
        }
        auto whole = [&] {
          return bench.equal(kNew) && bench.equal(kOrders) && bench.storage.rows(kMoved).size() == 7 &&
                 std::ranges::count(bench.storage.rows(kItems), row(7002)) == 1;
        };
        ASSERT_TRUE(bench.events.wait_until([&] { return run.ended() || whole(); }));
        run.request_stop();
        std::optional<ErrorKind> error = run.error();
        // The rows may be equal before the copy is known to be complete.
        if (error && error != ErrorKind::kStopped) {
          EXPECT_EQ(error, ErrorKind::kInternal) << "only the death that was asked for";
        } else if (run_number > 1) {
          break;
        }
      }
      EXPECT_TRUE(bench.equal(kNew));
      EXPECT_TRUE(bench.equal(kOrders));
      EXPECT_EQ(bench.storage.rows(kMoved).size(), 7U);
      EXPECT_EQ(std::ranges::count(bench.storage.rows(kItems), row(7001)), 1);
      EXPECT_THAT(bench.watch.violations(), IsEmpty());
      if (HasFailure()) return;
    }
  }
}

std::vector<Death> all_deaths() {
  std::vector<Death> deaths;
  for (TargetForm form : {TargetForm::kTables, TargetForm::kObjects}) {
    for (MigrationType type : {MigrationType::kCdc, MigrationType::kFullLoadAndCdc}) {
      for (const char* call : {"capture.next", "capture.verify", "capture.start", "unload.begin",
                               "slice.next", "load.write", "load.finish", "apply.recover", "apply.apply",
                               "apply.tick", "apply.flush", "apply.write_object"}) {
        deaths.push_back({form, type, call});
      }
    }
  }
  return deaths;
}

INSTANTIATE_TEST_SUITE_P(Calls, TablesComeAndGoOverDeaths, testing::ValuesIn(all_deaths()),
                         [](const auto& made) { return name_of(made.param); });

}  // namespace
}  // namespace ferry::test_support
