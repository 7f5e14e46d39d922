// A lookup for a transaction that the log tells of before the source shows it. A commit that waits for a
// synchronous standby which never comes is such a one for as long as the test wants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>

#include "base/bytes.h"
#include "base/error.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/settings.h"
#include "connectors/postgres/tools_servertest.h"
#include "tests/support/postgres_server.h"

namespace ferry::postgres::testing {
namespace {

using base::ErrorKind;
using std::chrono::milliseconds;
using test_support::PostgresServer;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kDeadline{60};

class LookupTest : public ::testing::TestWithParam<int> {
 protected:
  LookupTest()
      : server_(GetParam(), {"synchronous_standby_names = 'nobody'", "synchronous_commit = local"}),
        writer_(read_settings(endpoint()), ConnectionPurpose::kOrdinary, "writer", {}) {
    // The checkpointer is who tells sessions of the standby.
    server_.sql("CHECKPOINT");
    server_.sql("CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'before')");
    writer_.run("SET synchronous_commit = on", "wait for the standby", {});
    source_ = source_at(endpoint());
    capture_ = source_->capture(notes_);
    auto start = capture_->prepare(scope_of("lookup", {{"public", "t"}}), {});
    capture_->start(start.position, {});
    Collector stream(*capture_);
    writer_.send(update_);
    transaction_ = stream.next();
  }

  model::Endpoint endpoint(const char* timeout_s = "60") const {
    model::Endpoint endpoint = endpoint_at(server_.port());
    endpoint.settings["captureddls"] = {.name = "CaptureDdls", .value = "false"};
    endpoint.settings["executetimeout"] = {.name = "ExecuteTimeout", .value = timeout_s};
    return endpoint;
  }

  std::string visible() const { return server_.value("SELECT b FROM t"); }

  // What a lookup of the row that the transaction wrote finds.
  std::string look_up(connector::Source& source, std::stop_token stop) const {
    const OwnedChange& change = transaction_->changes.back();
    const OwnedCell& key = change.after[0];
    auto lookup = source.lookup();
    auto found = lookup->find({.table = change.table,
                               .columns = {1},
                               .key = {{.state = key.state, .bytes = key.bytes}},
                               .transaction = transaction_->stamp.id},
                              stop);
    return found ? std::string(found->at(0).bytes) : "no row";
  }
  std::future<std::string> start_lookup(std::stop_token stop) const {
    return std::async(std::launch::async, [this, stop] { return look_up(*source_, stop); });
  }

  // Whether the lookup has asked for the transaction and goes on waiting, before it has an answer.
  bool waits(const std::future<std::string>& answer) const {
    auto deadline = Clock::now() + kDeadline;
    while (Clock::now() < deadline && answer.wait_for(milliseconds(0)) != std::future_status::ready) {
      if (server_.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ferry-lookup' "
                        "AND query ~ 'pg_sleep'") == "1") {
        return true;
      }
    }
    return false;
  }

  PostgresServer server_;
  Connection writer_;
  const Statement update_{.sql = "UPDATE public.t SET b = 'after'", .doing = "update"};
  std::unique_ptr<connector::Source> source_;
  MemoryNotes notes_;
  std::unique_ptr<connector::SourceCapture> capture_;
  std::optional<OwnedTransaction> transaction_;
};

TEST_P(LookupTest, WaitsForATransactionThatIsDecodedBeforeItIsVisible) {
  ASSERT_TRUE(transaction_);
  ASSERT_EQ(visible(), "before");
  auto answer = start_lookup({});
  EXPECT_TRUE(waits(answer));
  EXPECT_EQ(visible(), "before");
  // It ends the wait for the standby, not the commit.
  writer_.cancel();
  EXPECT_EQ(answer.get(), "after");
}

TEST_P(LookupTest, StopsWaitingWhenAskedTo) {
  ASSERT_TRUE(transaction_);
  std::stop_source stop;
  auto answer = start_lookup(stop.get_token());
  EXPECT_TRUE(waits(answer));
  stop.request_stop();
  try {
    FAIL() << "it found " << answer.get();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStopped);
  }
}

TEST_P(LookupTest, DoesNotWaitForEver) {
  ASSERT_TRUE(transaction_);
  auto hasty = source_at(endpoint("1"));
  try {
    FAIL() << "it found " << look_up(*hasty, {});
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kSourceConnectionLost);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("was not visible within 1 s"));
  }
}

// Names that change between two lookups, which use one query.
class LookupNamesTest : public ::testing::TestWithParam<int> {
 protected:
  LookupNamesTest() : server_(GetParam()), source_(source_at(endpoint_at(server_.port()))) {
    server_.sql(
        "CREATE TABLE t (id int, b text, c text); INSERT INTO t VALUES (1, 'b of t', 'c of t');"
        "CREATE TABLE u (id int, b text, c text); INSERT INTO u VALUES (1, 'b of u', 'c of u');");
    auto version = std::make_shared<model::TableVersion>(*source_->catalog()->describe({"public", "t"}, {}));
    version->key = {0};
    version->identity = model::RowIdentity::kKey;
    table_ = std::move(version);
    lookup_ = source_->lookup();
    EXPECT_EQ(column(2), "c of t");
  }

  // What a lookup finds in the column of t with this index.
  std::string column(std::uint32_t index) {
    std::string key;
    base::append_native(key, std::int32_t{1});
    auto found = lookup_->find({.table = table_,
                                .columns = {index},
                                .key = {{.state = model::CellState::kValue, .bytes = key}},
                                .transaction = 0},
                               {});
    return found ? std::string(found->at(0).bytes) : "no row";
  }

  std::string error_of_column(std::uint32_t index) {
    try {
      return "it found " + column(index);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kSourceTable);
      return error.message();
    }
  }

  PostgresServer server_;
  std::unique_ptr<connector::Source> source_;
  model::TableVersionPtr table_;
  std::unique_ptr<connector::SourceLookup> lookup_;
};

TEST_P(LookupNamesTest, FollowTheTable) {
  server_.sql(
      "BEGIN; ALTER TABLE t RENAME TO x; ALTER TABLE u RENAME TO t; ALTER TABLE x RENAME TO u; COMMIT");
  EXPECT_EQ(column(2), "c of t");
  server_.sql("CREATE SCHEMA s; ALTER TABLE u SET SCHEMA s");
  EXPECT_EQ(column(2), "c of t");
}

TEST_P(LookupNamesTest, FollowTheColumn) {
  server_.sql("ALTER TABLE t RENAME b TO x; ALTER TABLE t RENAME c TO b; ALTER TABLE t RENAME x TO c");
  EXPECT_EQ(column(2), "c of t");
  EXPECT_EQ(column(1), "b of t");
  server_.sql("ALTER TABLE t RENAME id TO number");
  EXPECT_EQ(column(1), "b of t");
}

TEST_P(LookupNamesTest, NeverTakeAnotherTable) {
  server_.sql("DROP TABLE t; ALTER TABLE u RENAME TO t");
  EXPECT_THAT(error_of_column(2), ::testing::HasSubstr("table public.t is gone"));
}

TEST_P(LookupNamesTest, NeverTakeAnotherColumn) {
  server_.sql("ALTER TABLE t DROP c, ADD c text DEFAULT 'new'");
  EXPECT_THAT(error_of_column(2),
              ::testing::HasSubstr("column 'c' of table public.t is no longer what it was"));
}

TEST_P(LookupNamesTest, NeverTakeARowOfAChildTable) {
  server_.sql(
      "CREATE TABLE v () INHERITS (t); INSERT INTO v VALUES (1, 'b of v', 'c of v'); DELETE FROM ONLY t");
  EXPECT_EQ(column(2), "no row");
}

TEST_P(LookupNamesTest, TakeNoneOfSeveralRows) {
  server_.sql("INSERT INTO t VALUES (1, 'b of another', 'c of another')");
  EXPECT_EQ(column(2), "no row");
}

// The table as a log tells of it that knows no numbers of columns.
TEST_P(LookupNamesTest, AreBelievedOnlyWhereAllAreAsTheyWere) {
  auto version = std::make_shared<model::TableVersion>(*table_);
  for (model::Column& each : version->columns) each.source_number = 0;
  table_ = std::move(version);
  EXPECT_EQ(column(2), "c of t");
  lookup_ = source_->lookup();
  server_.sql("ALTER TABLE t RENAME b TO x; ALTER TABLE t RENAME c TO b; ALTER TABLE t RENAME x TO c");
  EXPECT_THAT(error_of_column(2), ::testing::HasSubstr("is no longer what it was"));
}

INSTANTIATE_TEST_SUITE_P(Majors, LookupNamesTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LookupNamesTest);

INSTANTIATE_TEST_SUITE_P(Majors, LookupTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LookupTest);

}  // namespace
}  // namespace ferry::postgres::testing
