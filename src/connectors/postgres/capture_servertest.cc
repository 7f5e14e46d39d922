#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "base/error.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/position.h"
#include "connectors/postgres/tools_servertest.h"
#include "tests/support/postgres_server.h"

namespace ferry::postgres::testing {
namespace {

using base::ErrorKind;
using model::CellState;
using model::ChangeKind;
using model::RowIdentity;
using model::TableName;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test_support::PostgresServer;
using ::testing::HasSubstr;

// The kind of Error that `work` throws, and its text.
template <typename Work>
std::pair<ErrorKind, std::string> error_of(Work work) {
  try {
    work();
  } catch (const base::Error& error) {
    return {error.kind(), error.what()};
  }
  return {ErrorKind::kInternal, "nothing was thrown"};
}

std::int32_t int_of(const OwnedCell& cell) {
  return cell.bytes.size() == 4 ? base::load_native<std::int32_t>(cell.bytes.data()) : -999;
}

class CaptureTest : public ::testing::TestWithParam<int> {
 protected:
  CaptureTest() : server_(GetParam()), source_(source_at(endpoint())) {}

  // Without CaptureDdls, which ddl_servertest.cc is about: what the stream and the watch say must do.
  model::Endpoint endpoint() const {
    model::Endpoint endpoint = endpoint_at(server_.port());
    endpoint.settings["captureddls"] = {.name = "CaptureDdls", .value = "false"};
    return endpoint;
  }

  // Prepares and starts a capture of the tables.
  Collector& start(std::vector<TableName> tables) {
    capture_ = source_->capture(notes_);
    auto start = capture_->prepare(scope_of("capture", std::move(tables)), {});
    capture_->start(start.position, {});
    collector_.emplace(*capture_);
    checkpoint_ = {.identity = start.identity, .resume_position = start.position, .applied_through = {}};
    return *collector_;
  }

  PostgresServer server_;
  std::unique_ptr<connector::Source> source_;
  MemoryNotes notes_;
  std::unique_ptr<connector::SourceCapture> capture_;
  std::optional<Collector> collector_;
  model::Checkpoint checkpoint_;
};

TEST_P(CaptureTest, LetsTheUserUpdateATableWithoutIdentity) {
  server_.sql("CREATE TABLE n (a int); INSERT INTO n VALUES (1)");
  Collector& stream = start({{"public", "n"}});

  server_.sql("UPDATE n SET a = 2");
  server_.sql("INSERT INTO n VALUES (3)");

  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  ASSERT_EQ(transaction->changes.size(), 2U);
  EXPECT_EQ(transaction->changes[0].kind, ChangeKind::kSchemaChange);
  EXPECT_EQ(transaction->changes[0].table->identity, RowIdentity::kNone);
  EXPECT_EQ(transaction->changes[1].kind, ChangeKind::kInsert);
  EXPECT_EQ(int_of(transaction->changes[1].after[0]), 3);
}

TEST_P(CaptureTest, ReadsValuesWhateverTheEnvironmentSaysOfTheirForm) {
  ::setenv("PGDATESTYLE", "SQL, DMY", 1);
  ::setenv("PGTZ", "Asia/Kolkata", 1);
  server_.sql("CREATE TABLE t (a int PRIMARY KEY, b date, c timestamp, d timestamptz)");
  Collector& stream = start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (1, '2024-03-04', '2024-03-04 05:06:07', '2024-03-04 05:06:07+00')");
  auto transaction = stream.next();
  Unloaded loaded = unload_all(*source_, request_of({"public", "t"}));
  ::unsetenv("PGDATESTYLE");
  ::unsetenv("PGTZ");
  ASSERT_TRUE(transaction);
  EXPECT_THAT(loaded.rows, ::testing::ElementsAre(transaction->changes.back().after));
  for (const OwnedCell& cell : transaction->changes.back().after) EXPECT_EQ(cell.state, CellState::kValue);
}

TEST_P(CaptureTest, WaitsForOpenTransactionsAndSendsThemWhole) {
  server_.sql("CREATE TABLE t (a int)");
  auto settings = read_settings(endpoint_at(server_.port()));
  Connection open(settings, ConnectionPurpose::kOrdinary, "open", {});
  open.run("BEGIN; INSERT INTO public.t VALUES (1)", "write", {});
  std::jthread commit([&] {
    while (server_.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "0") {
    }
    open.run("COMMIT", "commit", {});
  });

  Collector& stream = start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (2)");
  Unloaded loaded = unload_all(*source_, request_of({"public", "t"}));

  // The one that the start waited for is before the stream and in every load.
  EXPECT_EQ(loaded.rows.size(), 2U);
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  EXPECT_EQ(int_of(transaction->changes.back().after[0]), 2);
  EXPECT_EQ(loaded.mark->covers(transaction->stamp), model::Coverage::kInCopy);
}

TEST_P(CaptureTest, NamesTheTransactionThatHoldsUpTheStart) {
  server_.sql("CREATE TABLE t (a int)");
  Connection open(read_settings(endpoint_at(server_.port())), ConnectionPurpose::kOrdinary, "open", {});
  open.run("BEGIN; INSERT INTO\n\tpublic.t\nSELECT 42\n-- " + std::string(1000, 'x'), "write", {});
  auto scope = scope_of("capture", {{"public", "t"}});
  scope.transaction_consistency_timeout = seconds(1);

  capture_ = source_->capture(notes_);
  auto [kind, text] = error_of([&] { capture_->prepare(scope, {}); });

  EXPECT_EQ(kind, ErrorKind::kSourceTimeout);
  EXPECT_THAT(text, HasSubstr("INSERT INTO public.t SELECT 42"));
  EXPECT_THAT(text, HasSubstr("user postgres"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("\n")));
  EXPECT_LT(text.size(), 600U);
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_replication_slots"), "0");
}

TEST_P(CaptureTest, StopsWhileItWaitsForOpenTransactions) {
  server_.sql("CREATE TABLE t (a int)");
  Connection open(read_settings(endpoint_at(server_.port())), ConnectionPurpose::kOrdinary, "open", {});
  open.run("BEGIN; INSERT INTO public.t VALUES (1)", "write", {});
  std::stop_source stop;
  std::chrono::steady_clock::time_point asked;
  std::jthread stopper([&] {
    while (server_.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "0") {
    }
    asked = std::chrono::steady_clock::now();
    stop.request_stop();
  });

  capture_ = source_->capture(notes_);
  auto [kind, text] =
      error_of([&] { capture_->prepare(scope_of("capture", {{"public", "t"}}), stop.get_token()); });
  auto ended = std::chrono::steady_clock::now();
  stopper.join();

  EXPECT_EQ(kind, ErrorKind::kStopped) << text;
  EXPECT_LT(ended - asked, seconds(1));
  open.run("COMMIT", "commit", {});
  // What the stop left behind is no hindrance.
  Collector& stream = start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (2)");
  EXPECT_TRUE(stream.next());
}

TEST_P(CaptureTest, TellsUnchangedToastFromNullAndTakesItFromAFullOldRow) {
  server_.sql(
      "CREATE TABLE k (id int PRIMARY KEY, b text, c text); CREATE TABLE f (b text, c text);"
      "ALTER TABLE k ALTER c SET STORAGE EXTERNAL; ALTER TABLE f ALTER c SET STORAGE EXTERNAL;"
      "ALTER TABLE f REPLICA IDENTITY FULL");
  Collector& stream = start({{"public", "k"}, {"public", "f"}});
  server_.sql(
      "INSERT INTO k VALUES (1, NULL, repeat('c', 9000)); INSERT INTO f VALUES ('a', repeat('c', 9000))");
  server_.sql("UPDATE k SET b = 'x'; UPDATE f SET b = 'x'");
  server_.sql("UPDATE k SET id = 2");
  server_.sql("DELETE FROM k; DELETE FROM f");

  stream.next();
  auto update = stream.next();
  ASSERT_TRUE(update);
  const OwnedChange& keyed = update->changes.at(0);
  EXPECT_TRUE(keyed.before.empty());
  EXPECT_EQ(keyed.after[1], (OwnedCell{CellState::kValue, "x"}));
  EXPECT_EQ(keyed.after[2].state, CellState::kNotSent);
  const OwnedChange& whole = update->changes.at(1);
  EXPECT_EQ(whole.table->identity, RowIdentity::kFullRow);
  EXPECT_EQ(whole.before[0], (OwnedCell{CellState::kValue, "a"}));
  EXPECT_EQ(whole.before[1].bytes.size(), 9000U);
  EXPECT_EQ(whole.after[1].bytes.size(), 9000U);

  auto moved = stream.next();
  ASSERT_TRUE(moved);
  EXPECT_EQ(int_of(moved->changes.at(0).before[0]), 1);
  EXPECT_EQ(moved->changes.at(0).before[1].state, CellState::kNotSent);
  EXPECT_EQ(int_of(moved->changes.at(0).after[0]), 2);
  EXPECT_EQ(moved->changes.at(0).after[2].state, CellState::kNotSent);

  auto deleted = stream.next();
  ASSERT_TRUE(deleted);
  EXPECT_EQ(int_of(deleted->changes.at(0).before[0]), 2);
  EXPECT_EQ(deleted->changes.at(0).before[2].state, CellState::kNotSent);
  EXPECT_EQ(deleted->changes.at(1).before[1].bytes.size(), 9000U);
}

TEST_P(CaptureTest, FollowsTheShapeInTheMiddleOfATransaction) {
  server_.sql("CREATE TABLE t (id int PRIMARY KEY, b int, c text)");
  Collector& stream = start({{"public", "t"}});
  server_.sql(
      "INSERT INTO t VALUES (1, 10, 'one'); ALTER TABLE t DROP COLUMN b; INSERT INTO t VALUES (2, 'two')");
  server_.sql("ALTER TABLE t RENAME COLUMN c TO d; INSERT INTO t VALUES (3, 'three')");
  server_.sql(
      "ALTER TABLE t ALTER d TYPE varchar(7); ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (4, 'four')");

  auto first = stream.next();
  ASSERT_TRUE(first);
  std::vector<model::TableVersionPtr> versions;
  std::vector<std::size_t> widths;
  for (const OwnedChange& change : first->changes) {
    if (change.kind == ChangeKind::kSchemaChange) versions.push_back(change.table);
    if (change.kind == ChangeKind::kInsert) widths.push_back(change.after.size());
  }
  EXPECT_THAT(widths, ::testing::ElementsAre(3, 2));
  ASSERT_EQ(versions.size(), 2U);
  EXPECT_EQ(versions[1]->columns.size(), 2U);
  EXPECT_EQ(versions[1]->key, (std::vector<std::uint32_t>{0}));

  auto renamed = stream.next();
  ASSERT_TRUE(renamed);
  ASSERT_EQ(renamed->changes[0].kind, ChangeKind::kSchemaChange);
  EXPECT_EQ(renamed->changes[0].table->columns[1].name, "d");

  auto moved = stream.next();
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->changes[0].table->name.table, "u");
  EXPECT_EQ(to_string(moved->changes[0].table->columns[1].type), "WSTRING(7)");
  EXPECT_EQ(moved->changes[0].table->source_table, versions[0]->source_table);
}

TEST_P(CaptureTest, KeepsAColumnsNumberOverARename) {
  server_.sql("CREATE TABLE t (id int PRIMARY KEY, gone int, c text); ALTER TABLE t DROP COLUMN gone");
  Collector& stream = start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (1, 'one')");
  auto first = stream.next();
  server_.sql("ALTER TABLE t RENAME COLUMN c TO d; INSERT INTO t VALUES (2, 'two')");
  auto second = stream.next();

  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->changes[0].table->columns[1].source_number, 3);
  EXPECT_EQ(second->changes[0].table->columns[1].source_number, 3);
}

TEST_P(CaptureTest, DescribesATableThatIsGoneByTheLogAlone) {
  server_.sql(
      "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2), m mood)");
  Collector& stream = start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (1, 2.5, 'ok')");
  server_.sql("DROP TABLE t; DROP TYPE mood");

  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  const OwnedChange& insert = transaction->changes.at(1);
  EXPECT_EQ(to_string(insert.table->columns[1].type), "NUMERIC(10,2)");
  EXPECT_EQ(insert.table->key, (std::vector<std::uint32_t>{0}));
  EXPECT_EQ(insert.after[2], (OwnedCell{CellState::kValue, "ok"}));
}

TEST_P(CaptureTest, CarriesGeneratedColumns) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY, g int GENERATED ALWAYS AS (a * 2) STORED, z int)");
  Collector& stream = start({{"public", "t"}});
  server_.sql("INSERT INTO t (a, z) VALUES (5, 6)");

  Unloaded loaded = unload_all(*source_, request_of({"public", "t"}));
  EXPECT_EQ(int_of(loaded.rows.at(0)[1]), 10);
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  const OwnedChange& insert = transaction->changes.at(1);
  ASSERT_EQ(insert.after.size(), 3U);
  EXPECT_EQ(int_of(insert.after[2]), 6);
  if (GetParam() >= 18) {
    EXPECT_EQ(int_of(insert.after[1]), 10);
  } else {
    EXPECT_EQ(insert.after[1].state, CellState::kNotSent);
  }
}

TEST_P(CaptureTest, ListsLeavesOfPartitionedTablesAndFollowsRowsBetweenThem) {
  server_.sql(
      "CREATE TABLE p (r int PRIMARY KEY) PARTITION BY RANGE (r);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);"
      "CREATE VIEW v AS SELECT 1 AS one; CREATE MATERIALIZED VIEW m AS SELECT 1 AS one;"
      "CREATE TABLE awsdms_ddl_audit (a int); INSERT INTO p VALUES (5)");
  std::vector<std::string> names;
  for (const auto& table : source_->catalog()->tables({})) names.push_back(to_string(table.name));
  EXPECT_THAT(names, ::testing::ElementsAre("public.p1", "public.p2", "public.v"));

  Collector& stream = start({{"public", "p1"}, {"public", "p2"}});
  server_.sql("UPDATE p SET r = 15");
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  std::vector<std::pair<ChangeKind, std::string>> seen;
  for (const OwnedChange& change : transaction->changes) {
    if (change.kind != ChangeKind::kSchemaChange) seen.emplace_back(change.kind, change.table->name.table);
  }
  EXPECT_THAT(seen, ::testing::ElementsAre(std::pair(ChangeKind::kDelete, "p1"),
                                           std::pair(ChangeKind::kInsert, "p2")));
}

TEST_P(CaptureTest, YieldsTruncateAndLeavesRolledBackWorkOut) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  Collector& stream = start({{"public", "t"}});
  server_.sql(
      "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s; COMMIT");
  server_.sql("BEGIN; INSERT INTO t VALUES (3); ROLLBACK");
  server_.sql("TRUNCATE t");

  auto first = stream.next();
  ASSERT_TRUE(first);
  ASSERT_EQ(first->changes.size(), 2U);
  EXPECT_EQ(int_of(first->changes[1].after[0]), 1);
  auto second = stream.next();
  ASSERT_TRUE(second);
  ASSERT_EQ(second->changes.size(), 1U);
  EXPECT_EQ(second->changes[0].kind, ChangeKind::kTruncate);
}

TEST_P(CaptureTest, StampsTransactionsWithTheirCommitTime) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  Collector& stream = start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (1)");
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                 std::chrono::system_clock::now().time_since_epoch())
                 .count();
  EXPECT_LT(std::abs(now - transaction->stamp.commit_time), 60'000'000);
  EXPECT_LT(transaction->stamp.commit_position, transaction->stamp.resume_position);
}

TEST_P(CaptureTest, MovesTheSlotOnWhileOnlyOtherDatabasesAreBusy) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  server_.sql("CREATE DATABASE other");
  Collector& stream = start({{"public", "t"}});
  server_.sql("CREATE TABLE busy AS SELECT generate_series(1, 10000) AS a", "other");
  Lsn end = *parse_lsn(server_.value("SELECT pg_current_wal_flush_lsn()"));

  auto deadline = std::chrono::steady_clock::now() + seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    stream.poll(milliseconds(200));
    if (stream.last_heartbeat() && lsn_of(stream.last_heartbeat()->resume_position) >= end) break;
  }
  ASSERT_TRUE(stream.last_heartbeat());
  EXPECT_GE(lsn_of(stream.last_heartbeat()->resume_position), end);

  // Nothing is forgotten before it is acknowledged.
  std::string query = "SELECT confirmed_flush_lsn >= '" + to_string(end) + "' FROM pg_replication_slots";
  EXPECT_EQ(server_.value(query), "f");
  capture_->acknowledge(stream.last_heartbeat()->resume_position);
  capture_.reset();  // Not even a stream that ends at once loses it for the next one.
  capture_ = source_->capture(notes_);
  capture_->verify(scope_of("capture", {{"public", "t"}}),
                   {.identity = checkpoint_.identity,
                    .resume_position = stream.last_heartbeat()->resume_position,
                    .applied_through = {}},
                   {});
}

TEST_P(CaptureTest, RefusesASlotThatSomebodyElseReadsAndEndsItsOwnFormerReader) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  start({{"public", "t"}});
  auto scope = scope_of("capture", {{"public", "t"}});

  // Another task, with notes of its own.
  MemoryNotes foreign;
  auto second = source_->capture(foreign);
  auto [kind, text] = error_of([&] { second->prepare(scope, {}); });
  EXPECT_EQ(kind, ErrorKind::kSourceSlotInUse);
  EXPECT_THAT(text, HasSubstr("ferry-capture-"));

  // The same task after a crash: its former connection is still there.
  auto again = source_->capture(notes_);
  again->verify(scope, checkpoint_, {});
  again->start(checkpoint_.resume_position, {});
  server_.sql("INSERT INTO t VALUES (1)");
  Collector stream(*again);
  EXPECT_TRUE(stream.next());
}

TEST_P(CaptureTest, EndsASlotsCreationThatItsCrashLeftWaiting) {
  server_.sql("CREATE TABLE t (a int)");
  auto settings = read_settings(endpoint_at(server_.port()));
  Connection open(settings, ConnectionPurpose::kOrdinary, "open", {});
  open.run("BEGIN; INSERT INTO public.t VALUES (1)", "write", {});
  auto scope = scope_of("capture", {{"public", "t"}});
  scope.transaction_consistency_timeout = seconds(1);
  std::string database = server_.value("SELECT oid FROM pg_database WHERE datname = 'postgres'");
  // The connection of a process that is gone: nobody answers for it any more, but the server still waits.
  Connection crashed(settings, ConnectionPurpose::kReplication, "ferry-capture-crashed", {});
  crashed.send(
      {.sql = "CREATE_REPLICATION_SLOT ferry_capture_" + database + " LOGICAL pgoutput NOEXPORT_SNAPSHOT",
       .doing = "make a slot"});
  while (server_.value("SELECT count(*) FROM pg_replication_slots WHERE active") == "0") {
  }
  notes_.set("postgres.walsender", std::to_string(crashed.backend_pid()) + " ferry-capture-crashed");
  capture_ = source_->capture(notes_);
  EXPECT_EQ(error_of([&] { capture_->prepare(scope, {}); }).first, ErrorKind::kSourceTimeout);
  open.run("COMMIT", "commit", {});

  Collector& stream = start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (2)");
  EXPECT_TRUE(stream.next());
}

TEST_P(CaptureTest, UsesPublicationsThatAnAdministratorMade) {
  server_.sql(
      "CREATE ROLE reader LOGIN REPLICATION PASSWORD 'secret'; CREATE TABLE t (a int PRIMARY KEY);"
      "GRANT SELECT ON t TO reader");
  auto source = source_at(endpoint_at(server_.port(), "reader"));
  auto scope = scope_of("capture", {{"public", "t"}});
  server_.sql("CREATE PUBLICATION ferry_capture_full FOR TABLE t; CREATE PUBLICATION ferry_capture_ins");
  capture_ = source->capture(notes_);
  auto start = capture_->prepare(scope, {});
  EXPECT_EQ(server_.value("SELECT plugin FROM pg_replication_slots"), "pgoutput");
  capture_->start(start.position, {});
  server_.sql("INSERT INTO t VALUES (1)");
  Collector stream(*capture_);
  EXPECT_TRUE(stream.next());
}

TEST_P(CaptureTest, CleansNothingWhereTheTaskMadeNothing) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  start({{"public", "t"}});
  capture_.reset();
  server_.sql("CREATE DATABASE elsewhere");
  auto endpoint = endpoint_at(server_.port());
  endpoint.database_name = "elsewhere";
  EXPECT_EQ(error_of([&] { source_at(endpoint)->capture(notes_)->clean(scope_of("capture", {}), {}); }).first,
            ErrorKind::kSourceIdentity);
  EXPECT_EQ(source_->capture(notes_)->clean(scope_of("capture", {}), {}).size(), 3U);
}

TEST_P(CaptureTest, MakesEverythingAnewAfterACrashAndCleansUp) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  for (int i = 0; i < 3; ++i) {
    capture_ = source_->capture(notes_);
    capture_->prepare(scope_of("capture", {{"public", "t"}}), {});
    EXPECT_EQ(capture_->created().size(), 3U);
  }
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_replication_slots"), "1");
  capture_ = source_->capture(notes_);
  EXPECT_EQ(capture_->clean(scope_of("capture", {}), {}).size(), 3U);
  EXPECT_EQ(capture_->clean(scope_of("capture", {}), {}).size(), 0U);
}

TEST_P(CaptureTest, ChecksTheCheckpointAgainstTheSource) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  start({{"public", "t"}});
  capture_.reset();
  auto scope = scope_of("capture", {{"public", "t"}});
  auto verify = [&](const model::Checkpoint& checkpoint) {
    return error_of([&] { source_->capture(notes_)->verify(scope, checkpoint, {}); });
  };
  EXPECT_EQ(verify(checkpoint_).second, "nothing was thrown");

  auto other = checkpoint_;
  other.identity.text = "postgresql system 1 timeline 1 database x (oid 1)";
  EXPECT_EQ(verify(other).first, ErrorKind::kSourceIdentity);
  auto older = checkpoint_;
  older.resume_position = position_of(Lsn{1});
  EXPECT_EQ(verify(older).first, ErrorKind::kSourceSlotLost);
  auto beyond = checkpoint_;
  beyond.resume_position = position_of(Lsn{std::uint64_t{1} << 60});
  EXPECT_EQ(verify(beyond).first, ErrorKind::kSourceIdentity);
  EXPECT_THAT(verify(beyond).second, HasSubstr("set back to an older state"));
  server_.sql("DROP PUBLICATION ferry_capture_full");
  EXPECT_EQ(verify(checkpoint_).first, ErrorKind::kSourceSlotLost);
  server_.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
  EXPECT_EQ(verify(checkpoint_).first, ErrorKind::kSourceSlotLost);
}

TEST_P(CaptureTest, StartsAtAPositionOfTheUsersSlot) {
  server_.sql(
      "CREATE TABLE t (a int PRIMARY KEY);"
      "CREATE PUBLICATION ferry_capture_full FOR TABLE t; CREATE PUBLICATION ferry_capture_ins");
  server_.sql("SELECT pg_create_logical_replication_slot('mine', 'pgoutput')");
  server_.sql("INSERT INTO t VALUES (1)");
  std::string middle = server_.value("SELECT pg_current_wal_insert_lsn()");
  server_.sql("INSERT INTO t VALUES (2)");
  auto endpoint = this->endpoint();
  endpoint.settings["slotname"] = {.name = "SlotName", .value = "mine"};
  auto source = source_at(endpoint);
  auto scope = scope_of("capture", {{"public", "t"}});

  scope.start_position = "0/1";
  EXPECT_EQ(error_of([&] { source->capture(notes_)->prepare(scope, {}); }).first, ErrorKind::kSourceSlotLost);
  scope.start_position = "yesterday";
  EXPECT_EQ(error_of([&] { source->capture(notes_)->prepare(scope, {}); }).first,
            ErrorKind::kDocumentInvalid);
  scope.start_position = middle;
  EXPECT_EQ(error_of([&] { source_->capture(notes_)->prepare(scope, {}); }).first,
            ErrorKind::kSettingConflict);

  auto capture = source->capture(notes_);
  auto start = capture->prepare(scope, {});
  EXPECT_EQ(start.position.text(), middle);
  capture->start(start.position, {});
  Collector stream(*capture);
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  EXPECT_EQ(int_of(transaction->changes.back().after[0]), 2);
  capture.reset();
  EXPECT_EQ(source->capture(notes_)->clean(scope, {}).size(), 0U);
  EXPECT_EQ(server_.value("SELECT slot_name FROM pg_replication_slots"), "mine");
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_publication"), "2");

  endpoint.settings["slotname"].value = "missing";
  EXPECT_EQ(error_of([&] { source_at(endpoint)->capture(notes_)->prepare(scope, {}); }).first,
            ErrorKind::kSourceSlotLost);
}

TEST_P(CaptureTest, FollowsTablesThatComeAndGo) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  Collector& stream = start({{"public", "t"}});
  auto read_until = [&](ChangeKind kind, const std::string& table) {
    auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      stream.poll(milliseconds(200));
      for (const OwnedChange& change : stream.take_outside()) {
        if (change.kind == kind && change.table->name.table == table) return change.table;
      }
    }
    return model::TableVersionPtr();
  };
  Connection writer(read_settings(endpoint_at(server_.port())), ConnectionPurpose::kOrdinary, "writer", {});
  server_.sql("CREATE TABLE fresh AS SELECT i AS a FROM generate_series(1, 1000) i");
  // A transaction that began before the table was published holds the publishing up, and is in the copy.
  writer.run("BEGIN; INSERT INTO public.fresh VALUES (1001)", "write", {});
  stream.poll(seconds(6));
  EXPECT_TRUE(stream.take_outside().empty());
  writer.run("COMMIT", "commit", {});

  auto version = read_until(ChangeKind::kSchemaChange, "fresh");
  ASSERT_TRUE(version);
  EXPECT_EQ(version->columns.size(), 1U);
  EXPECT_EQ(version->identity, RowIdentity::kNone);
  Unloaded loaded = unload_all(*source_, request_of({"public", "fresh"}));
  EXPECT_EQ(loaded.rows.size(), 1001U);
  server_.sql("INSERT INTO fresh VALUES (1002)");
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  EXPECT_EQ(int_of(transaction->changes.back().after[0]), 1002);
  EXPECT_NE(loaded.mark->covers(transaction->stamp), model::Coverage::kInCopy);

  server_.sql("DROP TABLE fresh");
  EXPECT_TRUE(read_until(ChangeKind::kDrop, "fresh"));
}

TEST_P(CaptureTest, SaysANewTableAgainUntilTheTaskHasIt) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  auto scope = scope_of("capture", {{"public", "t"}});
  auto new_tables = [&](Collector& stream) {
    std::vector<std::string> names;
    for (const OwnedChange& change : stream.take_outside()) names.push_back(change.table->name.table);
    return names;
  };
  start(scope.tables);
  server_.sql("CREATE TABLE fresh (a int)");
  server_.sql("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(collector_->next());
  EXPECT_THAT(new_tables(*collector_), ::testing::ElementsAre("fresh"));

  // A crash before anybody has stored a word of it.
  auto resume = [&](const model::StreamPosition& position) {
    capture_ = source_->capture(notes_);
    checkpoint_.resume_position = position;
    capture_->verify(scope, checkpoint_, {});
    capture_->start(position, {});
    collector_.emplace(*capture_);
  };
  resume(checkpoint_.resume_position);
  server_.sql("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(collector_->next());
  auto second = collector_->next();
  ASSERT_TRUE(second);
  EXPECT_THAT(new_tables(*collector_), ::testing::ElementsAre("fresh"));

  capture_->acknowledge(second->stamp.resume_position);
  scope.known_tables = {std::stoull(server_.value("SELECT 't'::regclass::oid")),
                        std::stoull(server_.value("SELECT 'fresh'::regclass::oid"))};
  resume(second->stamp.resume_position);
  server_.sql("INSERT INTO t VALUES (3)");
  ASSERT_TRUE(collector_->next());
  EXPECT_THAT(new_tables(*collector_), ::testing::IsEmpty());
}

TEST_P(CaptureTest, MovesATableBetweenPublicationsWhenItsKeyComesOrGoes) {
  server_.sql(
      "CREATE TABLE t (a int PRIMARY KEY, b int); CREATE TABLE n (a int NOT NULL, b int);"
      "INSERT INTO t VALUES (1, 1); INSERT INTO n VALUES (1, 1)");
  Collector& stream = start({{"public", "t"}, {"public", "n"}});
  server_.sql("ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE n ADD PRIMARY KEY (a)");
  std::string members =
      "SELECT string_agg(pubname || '=' || tablename, ' ' ORDER BY tablename) FROM pg_publication_tables";
  auto deadline = std::chrono::steady_clock::now() + seconds(20);
  while (server_.value(members) != "ferry_capture_full=n ferry_capture_ins=t" &&
         std::chrono::steady_clock::now() < deadline) {
    stream.poll(milliseconds(200));
  }
  EXPECT_EQ(server_.value(members), "ferry_capture_full=n ferry_capture_ins=t");
  server_.sql("UPDATE t SET b = 2");
  server_.sql("UPDATE n SET b = 2");
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  EXPECT_EQ(transaction->changes[0].table->name.table, "n");
  EXPECT_EQ(transaction->changes[0].table->identity, RowIdentity::kKey);
}

TEST_P(CaptureTest, TakesNamesOfAnyKind) {
  std::string awkward = "My \"Table\", sélect; --";
  server_.sql(
      "CREATE SCHEMA \"S c\"; CREATE TABLE \"S c\".\"My \"\"Table\"\", sélect; --\" (\"a \"\"b\" int PRIMARY "
      "KEY)");
  Collector& stream = start({{"S c", awkward}});
  server_.sql("INSERT INTO \"S c\".\"My \"\"Table\"\", sélect; --\" VALUES (1)");
  Unloaded loaded = unload_all(*source_, request_of({"S c", awkward}));
  EXPECT_EQ(loaded.rows.size(), 1U);
  EXPECT_EQ(loaded.table->columns[0].name, "a \"b");
  EXPECT_TRUE(stream.next());
}

TEST_P(CaptureTest, TakesAsManyColumnsAsTheServerDoes) {
  std::string columns;
  for (int i = 0; i < 1600; ++i) columns += (i > 0 ? ", c" : "c") + std::to_string(i) + " int";
  server_.sql("CREATE TABLE wide (" + columns + ")");
  Collector& stream = start({{"public", "wide"}});
  server_.sql("INSERT INTO wide (c1599) VALUES (7)");
  EXPECT_EQ(int_of(unload_all(*source_, request_of({"public", "wide"})).rows.at(0).at(1599)), 7);
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  EXPECT_EQ(int_of(transaction->changes.at(1).after.at(1599)), 7);
}

INSTANTIATE_TEST_SUITE_P(Majors, CaptureTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CaptureTest);

}  // namespace
}  // namespace ferry::postgres::testing
