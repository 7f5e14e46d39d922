// Target::check(), TargetTables and TargetLoad.

#include <algorithm>
#include <future>

#include "tests/conformance/target_conformance.h"

namespace ferry::conformance {

using base::ErrorKind;
using connector::ForeignObjects;
using connector::PrepMode;

namespace {

constexpr PrepMode kModes[] = {PrepMode::kDoNothing, PrepMode::kDropAndCreate, PrepMode::kTruncateBeforeLoad};

}  // namespace

// ---- prepare

TEST_P(TargetConformance, CheckAnswersAndChangesNothing) {
  auto before = fixture_->fingerprint();
  for (const auto& prerequisite : target_->check({})) {
    EXPECT_FALSE(prerequisite.name.empty());
    EXPECT_TRUE(prerequisite.met || !prerequisite.required)
        << prerequisite.name << ": " << prerequisite.remedy;
    EXPECT_EQ(prerequisite.met, prerequisite.remedy.empty()) << prerequisite.name;
  }
  EXPECT_EQ(fixture_->fingerprint(), before);
}

TEST_P(TargetConformance, CheckOfATableThrowsWhatPrepareWouldAndChangesNothing) {
  fixture_->put_foreign(keyed_);
  auto before = fixture_->fingerprint();
  auto tables = target_->tables();
  for (PrepMode mode : kModes) {
    tables->check(prepare_request(full_row_, mode, ForeignObjects::kRefuse));
    auto refused = prepare_request(keyed_, mode, ForeignObjects::kRefuse);
    EXPECT_EQ(error_of([&] { tables->check(refused); }), error_of([&] { tables->prepare(refused); }));
    tables->check(prepare_request(keyed_, mode, ForeignObjects::kKeep));
    tables->check(prepare_request(keyed_, mode, ForeignObjects::kRemove));
    EXPECT_EQ(fixture_->fingerprint(), before) << "mode " << static_cast<int>(mode);
  }
}

TEST_P(TargetConformance, PrepareRefusesForeignObjects) {
  fixture_->put_foreign(keyed_);
  EXPECT_EQ(error_of([&] { prepare(keyed_); }), ErrorKind::kTargetForeignObjects);
  EXPECT_TRUE(fixture_->has_foreign(keyed_->name));
  prepare(full_row_);  // Another table's foreign things are no matter.
}

TEST_P(TargetConformance, ATaskOfChangesAloneTakesWhatALoadMadeForItsOwn) {
  fixture_->put_foreign(keyed_);
  target_->tables()->check({.table = keyed_, .mode = PrepMode::kDoNothing, .changes_only = true});
}

TEST_P(TargetConformance, PrepareKeepsForeignObjectsWhereTold) {
  fixture_->put_foreign(keyed_);
  prepare(keyed_, PrepMode::kDropAndCreate, ForeignObjects::kKeep);
  EXPECT_TRUE(fixture_->has_foreign(keyed_->name));
}

TEST_P(TargetConformance, PrepareRemovesForeignObjectsOfItsFormOnly) {
  fixture_->put_foreign(keyed_);
  bool other = fixture_->put_other_form(keyed_->name);
  prepare(keyed_, PrepMode::kDropAndCreate, ForeignObjects::kRemove);
  EXPECT_FALSE(fixture_->has_foreign(keyed_->name));
  if (other) {
    EXPECT_TRUE(fixture_->has_other_form(keyed_->name));
  }
  EXPECT_TRUE(rows(keyed_).empty());
}

TEST_P(TargetConformance, ThingsOfAnotherFormAreNotForeign) {
  if (!fixture_->put_other_form(keyed_->name)) GTEST_SKIP();
  prepare(keyed_);
  EXPECT_TRUE(fixture_->has_other_form(keyed_->name));
}

TEST_P(TargetConformance, PrepareAgainChangesNothing) {
  for (PrepMode mode : kModes) {
    prepare(keyed_, mode);
    auto before = fixture_->fingerprint();
    prepare(keyed_, mode);
    restart();
    prepare(keyed_, mode);
    EXPECT_EQ(fixture_->fingerprint(), before) << "mode " << static_cast<int>(mode);
  }
}

TEST_P(TargetConformance, PrepareRemovesEarlierLoadsUnlessToldToDoNothing) {
  for (PrepMode mode : kModes) {
    prepare(keyed_);
    prepare(full_row_);
    load(keyed_, 1, numbered(0, 10));
    load(full_row_, 1, numbered(0, 3));
    restart();
    prepare(keyed_, mode);
    EXPECT_EQ(rows(keyed_).size(), mode == PrepMode::kDoNothing ? 10U : 0U)
        << "mode " << static_cast<int>(mode);
    EXPECT_EQ(rows(full_row_).size(), 3U) << "another table's rows are gone";
  }
}

// ---- load

TEST_P(TargetConformance, ALoadIsDurableAndVisibleWhenItIsFinished) {
  prepare(keyed_);
  auto loading = target_->load(load_request(keyed_, 1));
  auto written = numbered(0, 250);
  written.push_back({250, std::nullopt});
  written.push_back({251, ""});
  std::span<const SuiteRow> all(written);
  loading->write(batch_of(keyed_, all.first(100)), errors_);
  loading->write(batch_of(keyed_, all.subspan(100)), errors_);
  EXPECT_EQ(loading->finish(), 252);
  loading.reset();
  restart();
  EXPECT_EQ(rows(keyed_), written);
  EXPECT_EQ(fixture_->half_written(keyed_->name), 0U);
  EXPECT_TRUE(errors_.errors.empty());
}

TEST_P(TargetConformance, AnEmptyLoadIsFinishedToo) {
  prepare(keyed_);
  EXPECT_EQ(load(keyed_, 1, {}), 0);
  EXPECT_TRUE(rows(keyed_).empty());
}

TEST_P(TargetConformance, EqualRowsOfATableWithoutKeyAreAllKept) {
  prepare(full_row_);
  EXPECT_EQ(load(full_row_, 1, {{1, "same"}, {1, "same"}, {1, std::nullopt}}), 3);
  EXPECT_EQ(rows(full_row_), (std::vector<SuiteRow>{{1, std::nullopt}, {1, "same"}, {1, "same"}}));
}

TEST_P(TargetConformance, SlicesAreLoadedSideBySide) {
  if (!target_->capabilities().parallel_slices) GTEST_SKIP();
  prepare(keyed_);
  constexpr std::size_t kSlices = 4;
  std::vector<std::future<std::int64_t>> loads;
  for (std::size_t slice = 0; slice < kSlices; ++slice) {
    loads.push_back(std::async(std::launch::async, [&, slice] {
      auto request = load_request(keyed_, 1);
      request.slice = slice;
      request.slice_count = kSlices;
      auto loading = target_->load(request);
      CollectingSink errors;
      auto from = static_cast<std::int32_t>(slice) * 100;
      for (std::int32_t i = 0; i < 100; i += 20) {
        loading->write(batch_of(keyed_, numbered(from + i, from + i + 20)), errors);
      }
      return loading->finish();
    }));
  }
  for (auto& done : loads) EXPECT_EQ(done.get(), 100);
  EXPECT_EQ(rows(keyed_), numbered(0, 400));
}

TEST_P(TargetConformance, LoadsOfSeveralTablesRunSideBySide) {
  prepare(keyed_);
  prepare(full_row_);
  auto first = target_->load(load_request(keyed_, 1));
  auto second = target_->load(load_request(full_row_, 1));
  first->write(batch_of(keyed_, numbered(0, 10)), errors_);
  second->write(batch_of(full_row_, numbered(10, 20)), errors_);
  EXPECT_EQ(first->finish(), 10);
  EXPECT_EQ(second->finish(), 10);
  EXPECT_EQ(rows(keyed_), numbered(0, 10));
  EXPECT_EQ(rows(full_row_), numbered(10, 20));
}

TEST_P(TargetConformance, RowsThatCannotBeCarriedAreReportedAndLeftOut) {
  auto refused = fixture_->refused_name();
  if (!refused) GTEST_SKIP();
  prepare(keyed_);
  EXPECT_EQ(load(keyed_, 1, {{1, "good"}, {2, refused}, {3, "good"}}), 2);
  EXPECT_EQ(rows(keyed_), (std::vector<SuiteRow>{{1, "good"}, {3, "good"}}));
  ASSERT_EQ(errors_.errors.size(), 1U);
  EXPECT_EQ(errors_.errors[0].table, keyed_->name);
  EXPECT_EQ(errors_.errors[0].key, "id=2");
  EXPECT_EQ(errors_.errors[0].column, kNameColumn);
  EXPECT_FALSE(errors_.errors[0].reason.empty());
  EXPECT_EQ(errors_.errors[0].reason.find(*refused), std::string::npos) << "the reason holds the value";
}

// ---- after a crash

TEST_P(TargetConformance, SweepRemovesWhatIsHalfWrittenAndNothingElse) {
  prepare(keyed_);
  prepare(full_row_);
  load(keyed_, 1, numbered(0, 10));
  {
    auto killed = target_->load(load_request(full_row_, 1));
    killed->write(batch_of(full_row_, numbered(0, 10)), errors_);
  }
  fixture_->leave_half_written(full_row_->name);
  restart();
  auto tables = target_->tables();
  tables->sweep(keyed_->name);
  EXPECT_EQ(rows(keyed_), numbered(0, 10));
  tables->sweep(full_row_->name);
  EXPECT_EQ(fixture_->half_written(full_row_->name), 0U);
  EXPECT_EQ(rows(keyed_), numbered(0, 10));
  auto before = fixture_->fingerprint();
  tables->sweep(keyed_->name);
  tables->sweep(full_row_->name);
  EXPECT_EQ(fixture_->fingerprint(), before);
}

TEST_P(TargetConformance, AnUnfinishedLoadIsDiscardedAndOtherLoadsStay) {
  for (PrepMode mode : kModes) {
    prepare(keyed_);
    prepare(keyed_, mode);
    load(keyed_, 1, numbered(0, 10));
    {
      auto killed = target_->load(load_request(keyed_, 2));
      killed->write(batch_of(keyed_, numbered(10, 200)), errors_);
    }
    restart();
    auto tables = target_->tables();
    tables->sweep(keyed_->name);
    tables->discard_load(keyed_->name, 2);
    tables->discard_load(keyed_->name, 2);
    EXPECT_EQ(rows(keyed_), numbered(0, 10)) << "mode " << static_cast<int>(mode);
    EXPECT_EQ(fixture_->half_written(keyed_->name), 0U);
    tables->discard_load(keyed_->name, 1);
    EXPECT_TRUE(rows(keyed_).empty()) << "mode " << static_cast<int>(mode);
    load(keyed_, 3, numbered(0, 20));
    EXPECT_EQ(rows(keyed_), numbered(0, 20));
  }
}

}  // namespace ferry::conformance
