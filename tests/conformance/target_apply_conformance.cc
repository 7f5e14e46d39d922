// TargetApply.

#include <algorithm>

#include "tests/conformance/target_conformance.h"

namespace ferry::conformance {

using connector::ApplyRequest;
using model::ChangeKind;
using Rows = std::vector<SuiteRow>;

// ---- what is applied

TEST_P(TargetConformance, TransactionsAreAppliedInOrder) {
  prepare(keyed_);
  prepare(full_row_);
  auto role = start_apply();
  apply(*role, 1, {insert(keyed_, {1, "one"}), insert(keyed_, {2, "two"}), insert(full_row_, {1, "same"})});
  apply(*role, 2,
        {update(keyed_, {1, "one"}, {1, "uno"}), remove(keyed_, {2, "two"}), insert(keyed_, {2, "again"})});
  apply(*role, 3, {insert(full_row_, {1, "same"}), update(full_row_, {1, "same"}, {2, std::nullopt})});
  apply(*role, 4, {update(keyed_, {2, "again"}, {3, "new key"}), remove(full_row_, {1, "same"})});
  role->flush();
  EXPECT_EQ(rows(keyed_), (Rows{{1, "uno"}, {3, "new key"}}));
  EXPECT_EQ(rows(full_row_), (Rows{{2, std::nullopt}}));
  EXPECT_TRUE(errors_.errors.empty());
}

TEST_P(TargetConformance, ChangesFollowTheLoad) {
  prepare(keyed_);
  load(keyed_, 1, numbered(0, 5));
  auto role = start_apply();
  apply(*role, 1,
        {remove(keyed_, {0, "row 0"}), update(keyed_, {1, "row 1"}, {1, "changed"}),
         insert(keyed_, {9, "new"})});
  role->flush();
  EXPECT_EQ(rows(keyed_), (Rows{{1, "changed"}, {2, "row 2"}, {3, "row 3"}, {4, "row 4"}, {9, "new"}}));
}

TEST_P(TargetConformance, CellsNotSentKeepTheirValue) {
  if (target_->capabilities().whole_rows) GTEST_SKIP();
  prepare(keyed_);
  auto role = start_apply();
  apply(*role, 1, {insert(keyed_, {1, "a long value"})});
  ScriptedChange moved = update(keyed_, {1, std::nullopt}, {2, std::nullopt});
  moved.name_not_sent = true;
  apply(*role, 2, {moved});
  role->flush();
  EXPECT_EQ(rows(keyed_), (Rows{{2, "a long value"}}));
}

TEST_P(TargetConformance, ALongTransactionIsTakenWithLittleMemory) {
  prepare(keyed_);
  ApplyRequest request;
  request.memory_bytes_max = 32 << 10;
  auto role = start_apply(request);
  Script script;
  for (const SuiteRow& row : numbered(0, 3000)) script.push_back(insert(keyed_, row));
  apply(*role, 1, script);
  role->flush();
  EXPECT_EQ(rows(keyed_), numbered(0, 3000));
  EXPECT_EQ(role->durable().applied_through, suite_position(1));
}

TEST_P(TargetConformance, ChangesOfShapeTakeTheirPlaceAmongTheRows) {
  if (!fixture_->quirks().follows_schema_changes) GTEST_SKIP();
  prepare(keyed_);
  auto wider = shape("orders", model::RowIdentity::kKey, {"extra"});
  auto role = start_apply();
  apply(*role, 1,
        {insert(keyed_, {1, "narrow"}), of_table(ChangeKind::kSchemaChange, wider),
         insert(wider, {2, "wide"})});
  apply(*role, 2, {update(wider, {1, "narrow"}, {1, "now wide"})});
  role->flush();
  EXPECT_EQ(rows(keyed_), (Rows{{1, "now wide"}, {2, "wide"}}));
  EXPECT_EQ(fixture_->columns(keyed_->name), (std::vector<std::string>{"id", "name", "extra"}));
}

TEST_P(TargetConformance, TruncateAndDropRemoveOnlyWhereTold) {
  for (bool told : {false, true}) {
    for (ChangeKind kind : {ChangeKind::kTruncate, ChangeKind::kDrop}) {
      fixture_ = GetParam().make();
      restart();
      prepare(keyed_);
      prepare(full_row_);
      load(keyed_, 1, numbered(0, 5));
      load(full_row_, 1, numbered(0, 5));
      ApplyRequest request;
      request.remove_on_truncate = told;
      request.remove_on_drop = told;
      auto role = start_apply(request);
      apply(*role, 1, {insert(keyed_, {5, "row 5"})});
      apply(*role, 2, {of_table(kind, keyed_)});
      role->flush();
      EXPECT_EQ(rows(keyed_), told ? Rows() : numbered(0, 6)) << "kind " << static_cast<int>(kind);
      EXPECT_EQ(rows(full_row_).size(), 5U);
    }
  }
}

TEST_P(TargetConformance, RowsAfterATruncateSurviveItsRepetition) {
  prepare(keyed_);
  load(keyed_, 1, numbered(0, 5));
  ApplyRequest request;
  request.remove_on_truncate = true;
  std::vector<Script> scripts = {{insert(keyed_, {7, "before"})},
                                 {of_table(ChangeKind::kTruncate, keyed_), insert(keyed_, {8, "after"})},
                                 {insert(keyed_, {9, "after"})}};
  for (int run = 0; run < 2; ++run) {
    auto role = start_apply(request);  // From the beginning, as if no checkpoint had been stored.
    for (std::size_t i = 0; i < scripts.size(); ++i) apply(*role, i + 1, scripts[i]);
    role->flush();
    EXPECT_EQ(rows(keyed_), (Rows{{8, "after"}, {9, "after"}})) << "run " << run;
    role.reset();
    restart();
  }
}

TEST_P(TargetConformance, ChangesThatCannotBeCarriedAreReportedAndLeftOut) {
  auto refused = fixture_->refused_name();
  if (!refused) GTEST_SKIP();
  prepare(keyed_);
  auto role = start_apply();
  apply(*role, 1, {insert(keyed_, {1, "good"}), insert(keyed_, {2, refused}), insert(keyed_, {3, "good"})});
  role->flush();
  EXPECT_EQ(rows(keyed_), (Rows{{1, "good"}, {3, "good"}}));
  ASSERT_EQ(errors_.errors.size(), 1U);
  EXPECT_EQ(errors_.errors[0].table, keyed_->name);
  EXPECT_EQ(errors_.errors[0].key, "id=2");
  EXPECT_EQ(errors_.errors[0].reason.find(*refused), std::string::npos) << "the reason holds the value";
  EXPECT_EQ(role->durable().applied_through, suite_position(1)) << "a row error is no reason to stand still";
}

TEST_P(TargetConformance, AnErrorOfTheSinkEndsTheCall) {
  auto refused = fixture_->refused_name();
  if (!refused) GTEST_SKIP();
  class Strict : public model::RowErrorSink {
    void row_error(const model::RowError&) override {
      throw base::Error(base::ErrorKind::kDataError, "the policy says to stop");
    }
    void data_warning(const model::DataWarning&) override {}
  } strict;
  prepare(keyed_);
  load(keyed_, 1, numbered(0, 2));
  auto role = start_apply();
  apply(*role, 1, {insert(keyed_, {5, "good"})});
  ScriptedTransaction bad(2, {insert(keyed_, {6, "good"}), insert(keyed_, {7, refused})});
  EXPECT_EQ(error_of([&] { role->apply(bad, suite_checkpoint(2), strict); }), base::ErrorKind::kDataError);
  EXPECT_LT(role->durable().applied_through, suite_position(2));
  role.reset();
  restart();

  role = start_apply();
  apply(*role, 1, {insert(keyed_, {5, "good"})});
  apply(*role, 2, {insert(keyed_, {6, "good"}), insert(keyed_, {7, "good now"})});
  role->flush();
  auto expected = numbered(0, 2);
  expected.insert(expected.end(), {{5, "good"}, {6, "good"}, {7, "good now"}});
  EXPECT_EQ(rows(keyed_), expected);
}

// ---- what is durable

TEST_P(TargetConformance, NothingIsDurableBeforeAnythingIs) {
  prepare(keyed_);
  auto role = target_->apply({.memory_bytes_max = 1 << 20});
  role->recover(suite_checkpoint(7));
  EXPECT_EQ(role->durable().applied_through, suite_position(7));
  EXPECT_EQ(role->durable().identity, suite_checkpoint(7).identity);
}

TEST_P(TargetConformance, FlushMakesEverythingAcceptedDurable) {
  prepare(keyed_);
  auto role = start_apply();
  apply(*role, 1, {insert(keyed_, {1, "one"})});
  apply(*role, 2, {insert(keyed_, {2, "two"})});
  role->flush();
  EXPECT_EQ(role->durable().applied_through, suite_position(2));
  EXPECT_EQ(role->durable().resume_position, suite_checkpoint(2).resume_position);
  role.reset();
  restart();
  EXPECT_EQ(rows(keyed_), (Rows{{1, "one"}, {2, "two"}}));
  role = start_apply();
  role->flush();  // With nothing accepted.
  EXPECT_EQ(rows(keyed_), (Rows{{1, "one"}, {2, "two"}}));
}

TEST_P(TargetConformance, AdvanceMovesOnWithoutRows) {
  prepare(keyed_);
  auto role = start_apply();
  role->advance(suite_checkpoint(3));
  role->flush();
  EXPECT_EQ(role->durable().applied_through, suite_position(3));
  apply(*role, 4, {insert(keyed_, {1, "one"})});
  role->advance(suite_checkpoint(5));
  EXPECT_LE(role->durable().applied_through, suite_position(5));
  role->flush();
  EXPECT_EQ(role->durable().applied_through, suite_position(5));
}

TEST_P(TargetConformance, AdvanceDoesNotOvertakeRows) {
  prepare(keyed_);
  auto role = start_apply();
  apply(*role, 1, {insert(keyed_, {1, "one"})});
  role->advance(suite_checkpoint(2));
  bool durable = role->durable().applied_through >= suite_position(1);
  role.reset();
  restart();
  if (durable) {
    EXPECT_EQ(rows(keyed_), (Rows{{1, "one"}}));
  }
}

TEST_P(TargetConformance, TicksMakeDurableWhatWaits) {
  prepare(keyed_);
  auto role = start_apply();
  EXPECT_GT(role->tick_interval().count(), 0);
  apply(*role, 1, {insert(keyed_, {1, "one"})});
  auto step = std::max(role->tick_interval(), fixture_->quirks().durable_within / 20);
  for (std::chrono::milliseconds passed{0}; passed <= fixture_->quirks().durable_within + step;
       passed += step) {
    role->tick();
    if (role->durable().applied_through == suite_position(1)) break;
    fixture_->pass_time(step);
  }
  EXPECT_EQ(role->durable().applied_through, suite_position(1));
  role.reset();
  restart();
  EXPECT_EQ(rows(keyed_), (Rows{{1, "one"}}));
}

// Kills the target after each number of transactions, with and without flushes in between, and starts again
// from the newest checkpoint there is or from an older one: every time the tables are to be exact in the end.
class Crash {
 public:
  Crash(TargetFixture& fixture, std::vector<model::TableVersionPtr> tables,
        std::vector<std::vector<ScriptedChange>> scripts)
      : fixture_(fixture), tables_(std::move(tables)), scripts_(std::move(scripts)) {}

  // Applies the first `count` transactions, flushing after every `flush_every`-th, and dies. What it last
  // called durable is the stored checkpoint, or an older one where `stores` is false.
  void run(std::size_t count, std::size_t flush_every, bool stores) {
    auto target = fixture_.open();
    for (const auto& table : tables_) target->tables()->sweep(table->name);
    auto role = target->apply({.memory_bytes_max = 1 << 20});
    auto recovered = role->recover(stored_);
    if (recovered) {
      EXPECT_GE(recovered->applied_through, stored_.applied_through);
    }
    auto from = recovered.value_or(stored_);
    auto last = from.applied_through;
    bool announced = false;
    for (std::size_t number = 1; number <= count; ++number) {
      if (suite_position(number) <= from.applied_through) continue;
      ScriptedTransaction transaction(number, announced ? scripts_[number - 1] : with_shapes(number));
      announced = true;
      role->apply(transaction, suite_checkpoint(number), errors_);
      if (flush_every > 0 && number % flush_every == 0) role->flush();
      auto durable = role->durable().applied_through;
      EXPECT_GE(durable, last) << "durable() went back";
      EXPECT_LE(durable, suite_position(number)) << "durable() is ahead of what was accepted";
      last = durable;
    }
    if (stores) stored_ = role->durable();
  }

  // … all of them, with a flush at the end.
  void run_to_the_end() {
    run(scripts_.size(), scripts_.size(), true);
    EXPECT_EQ(stored_.applied_through, suite_position(scripts_.size()));
    EXPECT_TRUE(errors_.errors.empty());
  }

 private:
  // After a start a source may announce the tables' shapes anew: that moves no row to another place.
  std::vector<ScriptedChange> with_shapes(std::size_t number) const {
    std::vector<ScriptedChange> script;
    for (const auto& table : tables_)
      script.push_back({ChangeKind::kSchemaChange, table, std::nullopt, std::nullopt});
    script.insert(script.end(), scripts_[number - 1].begin(), scripts_[number - 1].end());
    return script;
  }

  TargetFixture& fixture_;
  std::vector<model::TableVersionPtr> tables_;
  std::vector<std::vector<ScriptedChange>> scripts_;
  model::Checkpoint stored_ = suite_checkpoint(0);
  CollectingSink errors_;
};

TEST_P(TargetConformance, DurableIsTrueWheneverTheTargetDies) {
  std::vector<Script> scripts;
  for (std::int32_t i = 0; i < 6; ++i) {
    // Tables take turns, so that each has its own part of the stream.
    Script script = {insert(full_row_, {0, "equal rows"})};
    for (std::int32_t row = 0; i % 2 == 0 && row < 7; ++row)
      script.push_back(insert(keyed_, {i * 10 + row, "new"}));
    if (i > 2 && i % 2 == 0) script.push_back(remove(keyed_, {(i - 2) * 10, "new"}));
    scripts.push_back(std::move(script));
  }
  Rows keyed_rows;
  for (std::int32_t i : {0, 2, 4}) {
    for (std::int32_t row = i == 2 ? 1 : 0; row < 7; ++row) keyed_rows.push_back({i * 10 + row, "new"});
  }
  for (std::size_t first_death = 0; first_death <= scripts.size(); ++first_death) {
    for (std::size_t flush_every : {0, 1, 3}) {
      for (bool stores : {true, false}) {
        SCOPED_TRACE("death after " + std::to_string(first_death) + ", flush every " +
                     std::to_string(flush_every) + (stores ? ", newest" : ", older") + " checkpoint");
        fixture_ = GetParam().make();
        restart();
        prepare(keyed_);
        prepare(full_row_);
        target_.reset();
        Crash crash(*fixture_, {keyed_, full_row_}, scripts);
        crash.run(first_death, flush_every, stores);
        crash.run((first_death + scripts.size()) / 2, 2, stores);
        crash.run_to_the_end();
        EXPECT_EQ(rows(keyed_), keyed_rows);
        EXPECT_EQ(rows(full_row_), Rows(6, SuiteRow{0, "equal rows"}));
      }
    }
  }
}

TEST_P(TargetConformance, ATargetThatKeepsTheCheckpointTellsIt) {
  if (!target_->capabilities().atomic_checkpoint) GTEST_SKIP();
  prepare(keyed_);
  auto role = start_apply();
  apply(*role, 1, {insert(keyed_, {1, "one"})});
  role->flush();
  role.reset();
  restart();
  auto own = target_->apply({.memory_bytes_max = 1 << 20})->recover(suite_checkpoint(0));
  ASSERT_TRUE(own);
  EXPECT_EQ(own->applied_through, suite_position(1));
  EXPECT_EQ(own->identity, suite_checkpoint(1).identity);
}

}  // namespace ferry::conformance
