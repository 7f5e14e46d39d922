// SourceUnload, TableUnload and SliceReader.

#include <algorithm>
#include <future>

#include "tests/conformance/source_conformance.h"

namespace ferry::conformance {

TEST_P(SourceConformance, UnloadYieldsEveryRowOnce) {
  auto written = numbered(0, 500);
  written.push_back({500, std::nullopt});
  written.push_back({501, ""});
  insert(table_, written);
  auto unload = unloads().begin(request(table_), {});
  EXPECT_GE(unload->slice_count(), 1U);
  EXPECT_EQ(read_all(*unload), written);
}

TEST_P(SourceConformance, UnloadOfAnEmptyTableYieldsNothing) {
  auto unload = unloads().begin(request(table_), {});
  ASSERT_GE(unload->slice_count(), 1U);
  EXPECT_EQ(unload->table()->name, table_);
  for (std::size_t i = 0; i < unload->slice_count(); ++i) EXPECT_FALSE(unload->open_slice(i, {})->next({}));
}

TEST_P(SourceConformance, BatchesKeepTheirBounds) {
  insert(table_, numbered(0, 100));
  auto check = [&](connector::UnloadRequest wanted, std::int64_t rows_max) {
    auto unload = unloads().begin(wanted, {});
    std::size_t rows = 0;
    for (std::size_t i = 0; i < unload->slice_count(); ++i) {
      auto slice = unload->open_slice(i, {});
      while (auto batch = slice->next({})) {
        auto count = suite_rows(*batch).size();
        EXPECT_GE(count, 1U);
        EXPECT_LE(static_cast<std::int64_t>(count), rows_max);
        EXPECT_EQ(*batch->table, *unload->table());
        EXPECT_TRUE(has_canonical_schema(*batch));
        EXPECT_GT(batch->bytes, 0);
        rows += count;
      }
      EXPECT_FALSE(slice->next({})) << "nothing comes after the last";
    }
    EXPECT_EQ(rows, 100U);
  };
  auto wanted = request(table_);
  wanted.batch_rows_max = 7;
  check(wanted, 7);
  wanted.batch_rows_max = 1000;
  wanted.batch_bytes_max = 1;
  check(wanted, 1);
}

TEST_P(SourceConformance, UnloadIsOfOneSnapshot) {
  insert(table_, numbered(0, 50));
  auto unload = unloads().begin(request(table_), {});
  commit([&](SourceSession& session) {
    session.insert(table_, {100, "late"});
    session.update(table_, 1, {1, "changed"});
    session.remove(table_, 2);
  });
  EXPECT_EQ(read_all(*unload), numbered(0, 50));
}

TEST_P(SourceConformance, SlicesAreReadSideBySide) {
  insert(table_, numbered(0, 300));
  auto unload = unloads().begin(request(table_), {});
  std::vector<std::future<std::vector<SuiteRow>>> parts;
  for (std::size_t i = 0; i < unload->slice_count(); ++i) {
    parts.push_back(std::async(std::launch::async, [&unload, i] {
      std::vector<SuiteRow> part;
      auto slice = unload->open_slice(i, {});
      while (auto batch = slice->next({})) std::ranges::copy(suite_rows(*batch), std::back_inserter(part));
      return part;
    }));
  }
  std::vector<SuiteRow> all;
  for (auto& part : parts) std::ranges::copy(part.get(), std::back_inserter(all));
  std::ranges::sort(all);
  EXPECT_EQ(all, numbered(0, 300));
}

TEST_P(SourceConformance, SeveralTablesAreUnloadedAtOnce) {
  auto other = fixture_->name("customers");
  create(other);
  insert(table_, numbered(0, 40));
  insert(other, numbered(40, 90));
  auto read = [&](model::TableName table) {
    return std::async(std::launch::async,
                      [&, table] { return read_all(*unloads().begin(request(table), {})); });
  };
  auto first = read(table_);
  auto second = read(other);
  EXPECT_EQ(first.get(), numbered(0, 40));
  EXPECT_EQ(second.get(), numbered(40, 90));
}

TEST_P(SourceConformance, ARangeIsHalfOpen) {
  insert(table_, numbered(0, 20));
  auto in_range = [&](std::vector<std::string> from, std::vector<std::string> to) {
    auto wanted = request(table_);
    wanted.range = connector::KeyRange{std::move(from), std::move(to)};
    return read_all(*unloads().begin(wanted, {}));
  };
  EXPECT_EQ(in_range({"3"}, {"12"}), numbered(3, 12));
  EXPECT_EQ(in_range({}, {"3"}), numbered(0, 3));
  EXPECT_EQ(in_range({"12"}, {}), numbered(12, 20));
}

TEST_P(SourceConformance, UnloadOfNoTableIsATableError) {
  EXPECT_EQ(error_of([&] { unloads().begin(request(fixture_->name("nowhere")), {}); }),
            base::ErrorKind::kSourceTable);
  EXPECT_NE(unloads().begin(request(table_), {}), nullptr) << "the role is of use after a table error";
}

TEST_P(SourceConformance, ATableUnderUnloadKeepsItsShape) {
  insert(table_, numbered(0, 5));
  auto unload = unloads().begin(request(table_), {});
  auto session = fixture_->session();
  session->begin();
  EXPECT_FALSE(session->add_column(table_, "extra", std::chrono::milliseconds(300)));
  session->rollback();
  EXPECT_EQ(*unload->table(), *source_->catalog()->describe(table_, {}));
  EXPECT_EQ(read_all(*unload), numbered(0, 5));
  unload.reset();
  session->begin();
  EXPECT_TRUE(session->add_column(table_, "extra", kDeadline)) << "the lock outlives the unload";
  session->commit();
  EXPECT_EQ(unloads().begin(request(table_), {})->table()->columns.size(), 3U);
}

TEST_P(SourceConformance, UnloadWaitsForTheTableAndNoLonger) {
  auto session = fixture_->session();
  session->begin();
  ASSERT_TRUE(session->add_column(table_, "extra", kDeadline));
  auto wanted = request(table_);
  wanted.lock_timeout = std::chrono::seconds(1);
  EXPECT_EQ(error_of([&] { unloads().begin(wanted, {}); }), base::ErrorKind::kSourceTable);

  wanted.lock_timeout = std::chrono::seconds(0);
  expect_stops([&](std::stop_token stop) { unloads().begin(wanted, stop); });

  auto shape = std::async(std::launch::async, [&] { return unloads().begin(wanted, {})->table(); });
  EXPECT_EQ(shape.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  session->commit();
  EXPECT_EQ(shape.get()->columns.size(), 3U) << "the snapshot is older than the lock";
}

TEST_P(SourceConformance, UnloadStops) {
  insert(table_, numbered(0, 10));
  expect_stops_at_once([&](std::stop_token stop) { unloads().begin(request(table_), stop); });
  auto unload = unloads().begin(request(table_), {});
  expect_stops_at_once([&](std::stop_token stop) { unload->open_slice(0, stop)->next(stop); });
}

TEST_P(SourceConformance, MarksAreMadeOnDemandAndReadBack) {
  auto wanted = request(table_);
  wanted.want_mark = false;
  EXPECT_EQ(unloads().begin(wanted, {})->mark(), nullptr);

  auto running = prepare_and_start(scope({table_}));
  insert(table_, {{1, "before"}});
  auto open = fixture_->session();
  open->begin();
  open->insert(table_, {3, "open"});
  auto mark = unloads().begin(request(table_), {})->mark();
  open->commit();
  insert(table_, {{2, "after"}});
  ASSERT_NE(mark, nullptr);
  auto again = fixture_->open()->parse_mark(mark->to_text());
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->to_text(), mark->to_text());

  SourceStream stream(*running.capture);
  ASSERT_TRUE(stream.read_until_row(table_, {2, "after"}));
  std::vector<model::Coverage> covers;
  for (const auto& transaction : stream.committed_of(table_)) {
    EXPECT_EQ(again->covers(transaction.stamp), mark->covers(transaction.stamp));
    covers.push_back(mark->covers(transaction.stamp));
  }
  ASSERT_EQ(covers.size(), 3U);
  EXPECT_EQ(covers[0], model::Coverage::kInCopy);
  EXPECT_NE(covers[1], model::Coverage::kInCopy);
  EXPECT_NE(covers[2], model::Coverage::kInCopy);
}

TEST_P(SourceConformance, TextThatIsNoMarkIsRefused) {
  EXPECT_EQ(error_of([&] { source_->parse_mark("no mark at all"); }), base::ErrorKind::kStateUnusable);
  EXPECT_EQ(error_of([&] { source_->parse_mark(""); }), base::ErrorKind::kStateUnusable);
}

}  // namespace ferry::conformance
