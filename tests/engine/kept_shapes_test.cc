// Tables that are altered while a task runs whose document says HandleSourceTableAltered = false.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/engine_bench.h"

namespace ferry::test_support {
namespace {

using engine::TaskResult;
using model::MigrationType;
using model::RowIdentity;
using model::TypeId;

const model::TableName kMoved = {"shop", "moved"};
constexpr std::int32_t kId = 1;  // The source's numbers of shape_of()'s columns.
constexpr std::int32_t kName = 2;
constexpr std::int32_t kNewColumn = 0;

model::Column column(std::string name, TypeId type, std::int32_t number) {
  model::Column made;
  made.name = std::move(name);
  made.type.id = type;
  made.source_number = number;
  return made;
}

model::TableVersion shape(const model::TableName& name, std::vector<model::Column> columns) {
  model::TableVersion made = shape_of(name, RowIdentity::kKey);
  made.columns = std::move(columns);
  auto id = std::ranges::find(made.columns, kId, &model::Column::source_number);
  made.key = {static_cast<std::uint32_t>(id - made.columns.begin())};
  return made;
}

class KeptShapes : public testing::TestWithParam<TargetForm> {
 protected:
  KeptShapes() {
    bench_.definition.settings.named_paths.insert(
        "ChangeProcessingDdlHandlingPolicy.HandleSourceTableAltered");
    bench_.definition.settings.ddl_handling.handle_source_table_altered = false;
  }
  void until_it_follows(TaskRun& run, int times = 1) {
    ASSERT_TRUE(bench_.events.wait_until(
        [&] { return bench_.events.seen().changes_started >= times || run.ended(); }));
  }
  void alter(const model::TableName& table, const model::TableVersion& to) {
    auto transaction = bench_.database.begin();
    transaction->change_table(table, to);
    transaction->commit();
  }
  void insert(const model::TableName& table, const Row& row) {
    auto transaction = bench_.database.begin();
    transaction->insert(table, row);
    transaction->commit();
  }
  void until_there(TaskRun& run, const model::TableName& table, const Row& row) {
    EXPECT_TRUE(bench_.events.wait_until(
        [&] { return run.ended() || std::ranges::count(bench_.storage.rows(table), row) == 1; }));
    EXPECT_EQ(std::ranges::count(bench_.storage.rows(table), row), 1) << model::to_string(table);
  }
  static TaskResult stop(TaskRun& run) {
    run.request_stop();
    return run.result();
  }

  EngineBench bench_{GetParam()};
};

TEST_P(KeptShapes, RenamedAddedAndDroppedColumnsOverRestarts) {
  bench_.make_tables(1);
  {
    TaskRun run(bench_);
    until_it_follows(run);
    alter(kOrders,
          shape(kOrders, {column("extra", TypeId::kWstring, kNewColumn),
                          column("title", TypeId::kWstring, kName), column("id", TypeId::kInt4, kId)}));
    insert(kOrders, {text_value("left out"), text_value("named"), int4_value(900)});
    until_there(run, kOrders, {int4_value(900), text_value("named")});
    EXPECT_EQ(stop(run).row_errors, 0);
  }
  {
    TaskRun run(bench_);
    until_it_follows(run, 2);
    insert(kOrders, {text_value("left out"), text_value("later"), int4_value(901)});
    until_there(run, kOrders, {int4_value(901), text_value("later")});
    stop(run);
  }
  // While the task is down; a column of the old name is another one.
  alter(kOrders,
        shape(kOrders, {column("id", TypeId::kInt4, kId), column("name", TypeId::kWstring, kNewColumn)}));
  TaskRun run(bench_);
  until_it_follows(run, 3);
  insert(kOrders, {int4_value(902), text_value("another column")});
  until_there(run, kOrders, {int4_value(902), null_value()});
  EXPECT_EQ(stop(run).row_errors, 0);
}

TEST_P(KeptShapes, AValueThatTheOldTypeCannotHoldIsARowError) {
  bench_.make_tables(1);
  TaskRun run(bench_);
  until_it_follows(run);
  alter(kOrders, shape(kOrders, {column("id", TypeId::kInt8, kId), column("name", TypeId::kInt8, kName)}));
  insert(kOrders, {int8_value(std::int64_t{1} << 40), int8_value(1)});
  insert(kOrders, {int8_value(900), int8_value(-7)});
  until_there(run, kOrders, {int4_value(900), text_value("-7")});
  TaskResult result = stop(run);
  EXPECT_EQ(result.row_errors, 1);
  auto orders = std::ranges::find(result.tables, kOrders, &engine::TableResult::source);
  ASSERT_NE(orders, result.tables.end());
  EXPECT_EQ(orders->statistics.inserts, 1);
}

TEST_P(KeptShapes, ADeleteByAKeyThatIsLeftOutIsARowError) {
  bench_.make_tables(1);
  TaskRun run(bench_);
  until_it_follows(run);
  model::TableVersion altered =
      shape(kOrders, {column("id", TypeId::kInt4, kId), column("name", TypeId::kWstring, kName),
                      column("extra", TypeId::kInt4, kNewColumn)});
  altered.key = {2};
  alter(kOrders, altered);
  insert(kOrders, {int4_value(900), text_value("x"), int4_value(7)});
  auto removing = bench_.database.begin();
  removing->remove(kOrders, {int4_value(7)});
  removing->insert(kOrders, {int4_value(901), text_value("y"), int4_value(8)});
  removing->commit();
  until_there(run, kOrders, {int4_value(901), text_value("y")});
  EXPECT_EQ(stop(run).row_errors, 1);
}

TEST_P(KeptShapes, OfATaskOfChangesAloneTheShapeAtItsStart) {
  bench_.definition.migration_type = MigrationType::kCdc;
  bench_.make_tables(0);
  TaskRun run(bench_);
  until_it_follows(run);
  alter(kOrders, shape(kOrders, {column("id", TypeId::kInt4, kId), column("title", TypeId::kWstring, kName),
                                 column("extra", TypeId::kWstring, kNewColumn)}));
  insert(kOrders, {int4_value(900), text_value("named"), text_value("left out")});
  until_there(run, kOrders, {int4_value(900), text_value("named")});
  stop(run);
}

TEST_P(KeptShapes, AnotherNameOfTheTableChangesNothing) {
  bench_.make_tables(1);
  TaskRun run(bench_);
  until_it_follows(run);
  alter(kOrders, shape(kMoved, {column("id", TypeId::kInt4, kId), column("title", TypeId::kWstring, kName),
                                column("extra", TypeId::kWstring, kNewColumn)}));
  insert(kMoved, {int4_value(900), text_value("named"), text_value("left out")});
  until_there(run, kMoved, {int4_value(900), text_value("named")});
  stop(run);
}

TEST_P(KeptShapes, ByDefaultTheTargetFollows) {
  bench_.definition.settings.named_paths.clear();
  bench_.make_tables(1);
  TaskRun run(bench_);
  until_it_follows(run);
  alter(kOrders,
        shape(kOrders, {column("id", TypeId::kInt4, kId), column("extra", TypeId::kWstring, kNewColumn)}));
  insert(kOrders, {int4_value(900), text_value("new")});
  ASSERT_TRUE(bench_.events.wait_until([&] { return run.ended() || bench_.equal(kOrders); }));
  stop(run);
  EXPECT_TRUE(bench_.equal(kOrders));
}

// An ALTER in the middle of what a death makes come again: the same rows go into the same objects.
TEST_P(KeptShapes, TheRowsAreTheSameAfterADeath) {
  for (const char* call : {"apply.apply", "apply.flush", "apply.write_object"}) {
    for (int passage : {1, 2, 3}) {
      SCOPED_TRACE(fmt::format("{} {}", call, passage));
      EngineBench bench(GetParam());
      bench.definition.settings = bench_.definition.settings;
      bench.target_options.object_rows_max = 3;
      bench.target_options.interval = std::chrono::milliseconds(20);
      bench.make_tables(1);
      auto is_last = [](const Row& row) { return row.at(0) == int4_value(919); };
      for (int run_number = 1; run_number <= 3; ++run_number) {
        TaskRun run(bench);
        ASSERT_TRUE(bench.events.wait_until(
            [&] { return bench.events.seen().changes_started >= run_number || run.ended(); }));
        if (run_number == 1) {
          bench.faults.arm({.call = call, .fault = Fault::kDoesThenFails, .passage = passage});
          for (int i = 0; i < 10; ++i) {
            auto transaction = bench.database.begin();
            transaction->insert(kOrders, {int4_value(900 + i), text_value("before")});
            transaction->commit();
          }
          auto altering = bench.database.begin();
          altering->change_table(kOrders, shape(kOrders, {column("id", TypeId::kInt8, kId),
                                                          column("extra", TypeId::kWstring, kNewColumn)}));
          altering->commit();
          for (int i = 10; i < 20; ++i) {
            auto transaction = bench.database.begin();
            transaction->insert(kOrders,
                                {int8_value(i == 15 ? std::int64_t{1} << 40 : 900 + i), text_value("out")});
            transaction->commit();
          }
        }
        ASSERT_TRUE(bench.events.wait_until(
            [&] { return run.ended() || std::ranges::any_of(bench.storage.rows(kOrders), is_last); }));
        run.request_stop();
        run.error();
      }
      std::vector<Row> rows = bench.storage.rows(kOrders);
      EXPECT_EQ(rows.size(), 1U + 19U);
      for (int i = 0; i < 20; ++i) {
        Row wanted = {int4_value(900 + i), i < 10 ? text_value("before") : null_value()};
        EXPECT_EQ(std::ranges::count(rows, wanted), i == 15 ? 0 : 1) << i;
      }
      EXPECT_EQ(bench.open_state()->row_counts().at(kOrders).change_errors, 1);
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, KeptShapes, testing::Values(TargetForm::kTables, TargetForm::kObjects),
                         [](const auto& made) {
                           return made.param == TargetForm::kTables ? "Tables" : "Objects";
                         });

}  // namespace
}  // namespace ferry::test_support
