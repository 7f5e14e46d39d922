// A task that dies at any call of its source or target, before or after the call's work was done, goes on
// without losing or doubling a row. Death is an error that nobody tries to recover from: all of the run is
// destroyed, nothing is flushed, and the next run has what the source, the target and the state folder kept.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/engine_bench.h"

namespace ferry::test_support {
namespace {

using base::Error;
using base::ErrorKind;
using testing::IsEmpty;

constexpr int kPassagesMax = 3;  // Of one call, each the place of a death.
constexpr int kRunsMax = 4;

struct Case {
  TargetForm form;
  const char* call;
};

std::string name_of(const Case& c) {
  std::string name = std::string(c.form == TargetForm::kTables ? "Tables_" : "Objects_") + c.call;
  std::ranges::replace(name, '.', '_');
  return name;
}

class CrashTest : public testing::TestWithParam<Case> {
 protected:
  // Runs the task until one run has ended well after the armed deaths; how many were died.
  static int run_to_the_end(EngineBench& bench) {
    int deaths = 0;
    for (int run_number = 1; run_number <= kRunsMax; ++run_number) {
      // The source says that it is idle a while after the last change.
      bool to_be_idle = GetParam().call == std::string_view("apply.advance");
      int advances = bench.faults.passages("apply.advance");
      TaskRun run(bench);
      bench.write(4);
      bool waited =
          bench.events.wait_until([&] { return bench.events.seen().changes_started >= 1 || run.ended(); });
      EXPECT_TRUE(waited);
      bench.write(8);
      auto caught_up = [&] {
        return bench.equal() && (!to_be_idle || bench.faults.passages("apply.advance") > advances);
      };
      EXPECT_TRUE(bench.events.wait_until([&] { return run.ended() || caught_up(); }));
      run.request_stop();
      std::optional<ErrorKind> error = run.error();
      if (error) {
        EXPECT_EQ(error, ErrorKind::kInternal) << "only the death that was asked for";
        ++deaths;
      } else if (run_number > 1) {
        return deaths;
      }
    }
    ADD_FAILURE() << "the task did not come to an end";
    return deaths;
  }

  static void prepare(EngineBench& bench) {
    bench.source_options.slices = 2;
    bench.make_tables(12);
  }

  // Runs the task to its end with these deaths before it, and compares.
  static int die_and_compare(const std::vector<Faults::Plan>& deaths) {
    EngineBench bench(GetParam().form);
    prepare(bench);
    for (const Faults::Plan& death : deaths) bench.faults.arm(death);
    int died = run_to_the_end(bench);
    EXPECT_TRUE(bench.equal());
    EXPECT_THAT(bench.watch.violations(), IsEmpty());
    for (const model::TableName& table : {kOrders, kItems, kVisits}) {
      EXPECT_EQ(bench.storage.half_written(table), 0U) << model::to_string(table);
    }
    return died;
  }
};

TEST_P(CrashTest, LosesAndDoublesNothing) {
  for (Fault fault : {Fault::kFails, Fault::kDoesThenFails}) {
    for (int passage = 1; passage <= kPassagesMax; ++passage) {
      SCOPED_TRACE("death number " + std::to_string(passage) +
                   (fault == Fault::kFails ? " before" : " after"));
      int died = die_and_compare({{.call = GetParam().call, .fault = fault, .passage = passage}});
      if (passage == 1) {
        EXPECT_EQ(died, 1) << "the call is never made";
      }
      if (HasFailure()) return;
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (TargetForm form : {TargetForm::kTables, TargetForm::kObjects}) {
    for (const char* call :
         {"source.check",  "catalog.tables", "catalog.describe", "capture.prepare",   "capture.verify",
          "capture.start", "capture.next",   "unload.begin",     "unload.open_slice", "slice.next",
          "target.check",  "tables.check",   "tables.prepare",   "tables.sweep",      "load.write",
          "load.finish",   "apply.recover",  "apply.apply",      "apply.advance",     "apply.tick",
          "apply.flush"}) {
      cases.push_back({form, call});
    }
  }
  cases.push_back({TargetForm::kObjects, "apply.write_object"});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Calls, CrashTest, testing::ValuesIn(all_cases()),
                         [](const auto& made) { return name_of(made.param); });

// A load that died is discarded by the next run, which dies on its way to that too.
class CrashInALoadTest : public CrashTest {};

TEST_P(CrashInALoadTest, AnUnfinishedLoadLeavesNothingHoweverOftenItDies) {
  for (Fault fault : {Fault::kFails, Fault::kDoesThenFails}) {
    SCOPED_TRACE(fault == Fault::kFails ? "before" : "after");
    int died = die_and_compare({{.call = GetParam().call, .fault = Fault::kDoesThenFails, .passage = 2},
                                {.call = "tables.discard_load", .fault = fault},
                                {.call = GetParam().call, .fault = Fault::kDoesThenFails, .passage = 3}});
    EXPECT_EQ(died, 3);
  }
}

INSTANTIATE_TEST_SUITE_P(Calls, CrashInALoadTest,
                         testing::Values(Case{TargetForm::kTables, "load.write"},
                                         Case{TargetForm::kTables, "load.finish"},
                                         Case{TargetForm::kObjects, "load.write"},
                                         Case{TargetForm::kObjects, "load.finish"}),
                         [](const auto& made) { return name_of(made.param); });

}  // namespace
}  // namespace ferry::test_support
