#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/ddl_artifacts.h"
#include "connectors/postgres/heartbeat.h"
#include "connectors/postgres/tools_servertest.h"
#include "tests/support/postgres_server.h"

// What CaptureDdls and HeartbeatEnable make on the source, and what a capture learns by it.
namespace ferry::postgres::testing {
namespace {

using model::CellState;
using model::ChangeKind;
using model::TableName;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test_support::PostgresServer;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "schema public.t(id,b)", "insert public.t", "drop public.t"
std::string line_of(const OwnedChange& change) {
  std::string name = to_string(change.table->name);
  switch (change.kind) {
    case ChangeKind::kInsert: return "insert " + name;
    case ChangeKind::kUpdate: return "update " + name;
    case ChangeKind::kDelete: return "delete " + name;
    case ChangeKind::kDrop: return "drop " + name;
    case ChangeKind::kSchemaChange: {
      std::string columns;
      for (const model::Column& column : change.table->columns) {
        columns += (columns.empty() ? "" : ",") + column.name;
      }
      return "schema " + name + "(" + columns + ")";
    }
    default: return "other";
  }
}

std::vector<std::string> lines_of(const std::vector<OwnedChange>& changes) {
  std::vector<std::string> lines;
  for (const OwnedChange& change : changes) lines.push_back(line_of(change));
  return lines;
}

// The same, each of equal lines in a row once.
std::vector<std::string> runs_of(const std::vector<OwnedChange>& changes) {
  std::vector<std::string> lines = lines_of(changes);
  lines.erase(std::ranges::unique(lines).begin(), lines.end());
  return lines;
}

// 200 kB of rows.
std::string many_rows(const std::string& table) {
  return fmt::format(
      "INSERT INTO {0} SELECT (SELECT count(*) FROM {1}) + i, repeat('x', 100) FROM generate_series(1, 2000) "
      "i; ",
      table, table.substr(0, table.find('(')));
}

class DdlTest : public ::testing::TestWithParam<int> {
 protected:
  DdlTest()
      : server_(GetParam(), {"logical_decoding_work_mem = 64kB"}),
        source_(source_at(endpoint_at(server_.port()))) {}

  // pgoutput sends messages from 14 on.
  static bool has_messages() { return GetParam() >= 14; }

  Collector& start_with_test_decoding(std::vector<TableName> tables) {
    auto endpoint = endpoint_at(server_.port());
    endpoint.settings["pluginname"] = {.name = "PluginName", .value = "test_decoding"};
    source_ = source_at(endpoint);
    return start(std::move(tables));
  }

  Collector& start(std::vector<TableName> tables) {
    capture_ = source_->capture(notes_);
    auto start = capture_->prepare(scope_of("capture", std::move(tables)), {});
    capture_->start(start.position, {});
    checkpoint_ = {.identity = start.identity, .resume_position = start.position, .applied_through = {}};
    return collector_.emplace(*capture_);
  }

  std::vector<std::string> next_lines() {
    auto transaction = collector_->next();
    return transaction ? lines_of(transaction->changes) : std::vector<std::string>{"no transaction"};
  }

  // Reads until a change outside of any transaction has this line.
  bool comes_outside(const std::string& line) {
    auto deadline = std::chrono::steady_clock::now() + seconds(30);
    while (std::chrono::steady_clock::now() < deadline) {
      collector_->poll(milliseconds(200));
      for (const std::string& seen : lines_of(collector_->take_outside())) {
        if (seen == line) return true;
      }
    }
    return false;
  }

  Connection session(std::string_view user = "postgres") {
    return Connection(read_settings(endpoint_at(server_.port(), user)), ConnectionPurpose::kOrdinary, "test",
                      {});
  }

  PostgresServer server_;
  std::unique_ptr<connector::Source> source_;
  MemoryNotes notes_;
  std::unique_ptr<connector::SourceCapture> capture_;
  std::optional<Collector> collector_;
  model::Checkpoint checkpoint_;
};

TEST_P(DdlTest, YieldsTableChangesAtTheirPlaceInATransaction) {
  server_.sql("CREATE SCHEMA other; CREATE TABLE t (id int PRIMARY KEY, b text)");
  start({{"public", "t"}});
  collector_->poll(milliseconds(1));  // The watch has seen what is there.
  server_.sql(
      "BEGIN; INSERT INTO t VALUES (1, 'x'); ALTER TABLE t RENAME COLUMN b TO c; INSERT INTO t VALUES (2, "
      "'y');"
      "CREATE TABLE n (a int PRIMARY KEY); ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (3, 'z');"
      "ALTER TABLE u SET SCHEMA other; DROP TABLE other.u; CREATE TABLE u (z int PRIMARY KEY); COMMIT");

  auto lines = next_lines();
  if (has_messages()) {
    EXPECT_THAT(lines,
                ElementsAre("schema public.t(id,b)", "insert public.t", "schema public.t(id,c)",
                            "insert public.t", "schema public.n(a)", "schema public.u(id,c)",
                            "insert public.u", "schema other.u(id,c)", "drop other.u", "schema public.u(z)"));
    return;
  }
  EXPECT_THAT(lines, ElementsAre("schema public.t(id,b)", "insert public.t", "schema public.t(id,c)",
                                 "insert public.t", "schema public.u(id,c)", "insert public.u"));
  EXPECT_TRUE(comes_outside("drop public.t"));
}

TEST_P(DdlTest, YieldsTableChangesAtTheirPlaceWithTestDecoding) {
  server_.sql("CREATE SCHEMA other; CREATE TABLE t (id int PRIMARY KEY, b text)");
  start_with_test_decoding({{"public", "t"}});
  collector_->poll(milliseconds(1));  // The watch has seen what is there.
  std::string old_number = server_.value("SELECT 't'::regclass::oid");
  server_.sql("INSERT INTO t VALUES (0, 'w')");
  EXPECT_THAT(next_lines(), ElementsAre("schema public.t(id,b)", "insert public.t"));
  server_.sql(
      "BEGIN; INSERT INTO t VALUES (1, 'x'); ALTER TABLE t RENAME COLUMN b TO c; INSERT INTO t VALUES (2, "
      "'y');"
      "CREATE TABLE n (a int PRIMARY KEY); INSERT INTO n VALUES (1); ALTER TABLE t RENAME TO u; INSERT INTO "
      "u "
      "VALUES (3, 'z'); DROP TABLE u; CREATE TABLE t (id int PRIMARY KEY, c text); INSERT INTO t VALUES (4, "
      "'a'); "
      "COMMIT");
  auto transaction = collector_->next();
  ASSERT_TRUE(transaction);
  EXPECT_THAT(lines_of(transaction->changes),
              ElementsAre("insert public.t", "schema public.t(id,c)", "insert public.t", "schema public.n(a)",
                          "insert public.n", "schema public.u(id,c)", "insert public.u", "drop public.u",
                          "schema public.t(id,c)", "insert public.t"));
  for (const OwnedChange& change : transaction->changes) {
    bool is_old = &change < &transaction->changes[8];
    if (change.table->name.table == "n") continue;
    EXPECT_EQ(std::to_string(change.table->source_table) == old_number, is_old) << line_of(change);
  }
  // Of tables that nobody asked for nothing is said, and a key is known from its place on.
  server_.sql(
      "CREATE TABLE other.x (a int); ALTER TABLE other.x ADD COLUMN b int; INSERT INTO other.x VALUES (1, 2);"
      "UPDATE t SET c = 'b'; ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (c);"
      "INSERT INTO t VALUES (5, 'c'); DROP TABLE other.x");
  EXPECT_THAT(next_lines(), ElementsAre("update public.t", "schema public.t(id,c)", "schema public.t(id,c)",
                                        "insert public.t"));
  EXPECT_THAT(collector_->take_outside(), IsEmpty());
}

// Such a transaction would come in pieces, were it not for the messages in it.
TEST_P(DdlTest, YieldsNothingOfWhatALargeTransactionRolledBack) {
  if (!has_messages()) GTEST_SKIP() << "pgoutput of this version sends no messages";
  server_.sql(
      "CREATE TABLE t (id int PRIMARY KEY, b text); CREATE TABLE v (a int PRIMARY KEY);"
      "CREATE TABLE w (a int PRIMARY KEY)");
  start({{"public", "t"}, {"public", "v"}, {"public", "w"}});
  collector_->poll(milliseconds(1));
  server_.sql(
      "BEGIN; " + many_rows("t") + "ALTER TABLE t RENAME COLUMN b TO c; " + many_rows("t") +
      "SAVEPOINT a; CREATE TABLE no (a int PRIMARY KEY); DROP TABLE v; ALTER TABLE t RENAME TO no2; " +
      many_rows("no2") + "ROLLBACK TO a; " + many_rows("t") +
      "ALTER TABLE t ALTER c SET NOT NULL; CREATE TABLE n (id int PRIMARY KEY, b text);" + many_rows("n") +
      "CREATE TABLE gone (a int); DROP TABLE gone; ALTER TABLE t RENAME TO u; " + many_rows("u") +
      "DROP TABLE w; COMMIT");
  server_.sql("INSERT INTO n VALUES (0, 'n'); INSERT INTO v VALUES (1); INSERT INTO u VALUES (0, 'u')");
  server_.sql("BEGIN; " + many_rows("u") +
              "ALTER TABLE u RENAME TO no; CREATE TABLE no2 (a int); DROP TABLE v; " + many_rows("no") +
              "ROLLBACK");
  server_.sql(
      "ALTER TABLE u ALTER c DROP NOT NULL; INSERT INTO u VALUES (-1, NULL); INSERT INTO v VALUES (2)");
  auto transaction = collector_->next();
  ASSERT_TRUE(transaction);
  EXPECT_THAT(runs_of(transaction->changes),
              ElementsAre("schema public.t(id,b)", "insert public.t", "schema public.t(id,c)",
                          "insert public.t", "schema public.t(id,c)", "schema public.n(id,b)",
                          "drop public.gone", "schema public.u(id,c)", "insert public.u", "drop public.w"));
  EXPECT_EQ(std::ranges::count(lines_of(transaction->changes), std::string("insert public.t")), 6000);
  EXPECT_EQ(server_.value("SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_publication_tables"),
            "n u v");
  EXPECT_THAT(next_lines(), Contains("insert public.v"));
  EXPECT_THAT(next_lines(), ElementsAre("schema public.u(id,c)", "insert public.u", "insert public.v"));
  EXPECT_THAT(collector_->take_outside(), IsEmpty());
}

TEST_P(DdlTest, ReadsTransactionsWholeWhereTheServerFailsOverTheirPieces) {
  if (!has_messages()) GTEST_SKIP() << "this version sends no pieces";
  server_.sql("CREATE TABLE t (id int PRIMARY KEY, b text)");
  auto endpoint = endpoint_at(server_.port());
  endpoint.settings["captureddls"] = {.name = "CaptureDdls", .value = "false"};
  source_ = source_at(endpoint);
  start({{"public", "t"}});
  collector_->poll(milliseconds(1));
  server_.sql("BEGIN; " + many_rows("t") + "ALTER TABLE t RENAME COLUMN b TO c; " + many_rows("t") +
              "SAVEPOINT a; ALTER TABLE t ADD COLUMN d int; SAVEPOINT b; ALTER TABLE t RENAME TO no; " +
              many_rows("no(id, c)") + "ROLLBACK TO a; " + many_rows("t") + "ALTER TABLE t RENAME TO u; " +
              many_rows("u") + "COMMIT");
  try {
    collector_->next();
    FAIL() << "This server decodes it by now: the note and its words can go when all versions do.";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kSourceConnectionLost) << error.what();
  }
  capture_ = source_->capture(notes_);
  capture_->verify(scope_of("capture", {{"public", "t"}}), checkpoint_, {});
  capture_->start(checkpoint_.resume_position, {});
  collector_.emplace(*capture_);
  auto transaction = collector_->next();
  ASSERT_TRUE(transaction);
  EXPECT_THAT(runs_of(transaction->changes),
              ElementsAre("schema public.t(id,b)", "insert public.t", "schema public.t(id,c)",
                          "insert public.t", "schema public.u(id,c)", "insert public.u"));
  EXPECT_EQ(std::ranges::count(lines_of(transaction->changes), std::string("insert public.t")), 6000);
}

TEST_P(DdlTest, KnowsAShapeThatTheCatalogHasForgotten) {
  server_.sql(
      "CREATE DOMAIN price AS numeric(10,2); CREATE TABLE k (a int, gone int, b int, g int GENERATED ALWAYS "
      "AS "
      "(a * 2) STORED, n price NOT NULL, o text, PRIMARY KEY (b, a)); ALTER TABLE k DROP COLUMN gone");
  start({{"public", "k"}});
  server_.sql("ALTER TABLE k RENAME COLUMN n TO m; INSERT INTO k (a, b, m) VALUES (1, 2, 3.5)");
  server_.sql("DROP TABLE k");
  auto transaction = collector_->next();
  ASSERT_TRUE(transaction);
  ASSERT_THAT(lines_of(transaction->changes), Contains("insert public.k"));
  if (!has_messages()) return;

  const OwnedChange& insert = transaction->changes.at(1);
  const model::TableVersion& table = *insert.table;
  EXPECT_THAT(lines_of(transaction->changes), ElementsAre("schema public.k(a,b,g,m,o)", "insert public.k"));
  EXPECT_THAT(table.key, ElementsAre(1, 0));
  std::vector<std::int32_t> numbers;
  std::vector<bool> nullable;
  for (const model::Column& column : table.columns) {
    numbers.push_back(column.source_number);
    nullable.push_back(column.nullable);
  }
  EXPECT_THAT(numbers, ElementsAre(1, 3, 4, 5, 6));
  EXPECT_THAT(nullable, ElementsAre(false, false, true, false, true));
  EXPECT_EQ(to_string(table.columns[3].type), "NUMERIC(10,2)");
  EXPECT_EQ(table.columns[3].source_type, "public.price");
  EXPECT_EQ(insert.after[2].state, GetParam() >= 18 ? CellState::kValue : CellState::kNotSent);
}

TEST_P(DdlTest, SaysAShapeOnceAndTheSameAsTheCatalog) {
  if (!has_messages()) GTEST_SKIP() << "pgoutput of this version sends no messages";
  server_.sql("CREATE TABLE t (id int PRIMARY KEY, b varchar(7), c money)");
  start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_THAT(next_lines(), ElementsAre("schema public.t(id,b,c)", "insert public.t"));
  server_.sql(
      "ALTER TABLE t ALTER b SET NOT NULL; ALTER TABLE t ALTER b SET STATISTICS 5; INSERT INTO t VALUES (2, "
      "'b')");
  server_.sql("INSERT INTO t VALUES (3, 'c')");
  auto changed = collector_->next();
  ASSERT_TRUE(changed);
  ASSERT_THAT(lines_of(changed->changes), ElementsAre("schema public.t(id,b,c)", "insert public.t"));
  EXPECT_FALSE(changed->changes[0].table->columns[1].nullable);
  auto described = source_->catalog()->describe({"public", "t"}, {});
  auto seen = *changed->changes[1].table;
  for (std::size_t i = 0; i < seen.columns.size(); ++i)
    seen.columns[i].distinct_share = described->columns[i].distinct_share;
  EXPECT_EQ(seen, *described);
  EXPECT_THAT(next_lines(), ElementsAre("insert public.t"));
}

TEST_P(DdlTest, PublishesANewTableWhenItsMessageComes) {
  if (!has_messages()) GTEST_SKIP() << "pgoutput of this version sends no messages";
  server_.sql(
      "CREATE TABLE t (a int PRIMARY KEY); CREATE FUNCTION make() RETURNS void LANGUAGE plpgsql AS $$ "
      "BEGIN CREATE TABLE fresh AS SELECT i AS a FROM generate_series(1, 1000) i; "
      "CREATE TEMP TABLE passing (a int); CREATE UNLOGGED TABLE light (a int); END $$");
  start({{"public", "t"}});
  collector_->poll(milliseconds(1));
  server_.sql("SELECT make()");
  EXPECT_THAT(next_lines(), ElementsAre("schema public.fresh(a)"));
  EXPECT_EQ(server_.value("SELECT pubname FROM pg_publication_tables WHERE tablename = 'fresh'"),
            "ferry_capture_ins");
  server_.sql("INSERT INTO fresh VALUES (1001)");
  Unloaded loaded = unload_all(*source_, request_of({"public", "fresh"}));
  EXPECT_EQ(loaded.rows.size(), 1001U);
  auto transaction = collector_->next();
  ASSERT_TRUE(transaction);
  EXPECT_EQ(loaded.mark->covers(transaction->stamp), model::Coverage::kInCopy);
  EXPECT_THAT(collector_->take_outside(), IsEmpty());
}

TEST_P(DdlTest, FindsATableLaterThatItCouldNotLockAtOnce) {
  if (!has_messages()) GTEST_SKIP() << "pgoutput of this version sends no messages";
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  start({{"public", "t"}});
  collector_->poll(milliseconds(1));
  server_.sql("CREATE TABLE fresh (a int PRIMARY KEY)");
  Connection writer = session();
  writer.run("BEGIN; INSERT INTO public.fresh VALUES (1)", "write", {});
  server_.sql("INSERT INTO t VALUES (1)");
  EXPECT_THAT(next_lines(), ElementsAre("schema public.t(a)", "insert public.t"));
  writer.run("COMMIT", "commit", {});
  EXPECT_TRUE(comes_outside("schema public.fresh(a)"));
}

TEST_P(DdlTest, LeavesOutWhatWasSaidOfATableBeforeTheWatchFoundIt) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  start({{"public", "t"}});
  server_.sql("CREATE TABLE x (a int PRIMARY KEY)");
  server_.sql("ALTER TABLE x RENAME TO y");
  server_.sql("INSERT INTO t VALUES (1)");
  // The first look at the catalog comes before the stream.
  EXPECT_THAT(next_lines(), ElementsAre("schema public.t(a)", "insert public.t"));
  EXPECT_THAT(lines_of(collector_->take_outside()), ElementsAre("schema public.y(a)"));
}

TEST_P(DdlTest, SaysTheSameAgainAfterARestart) {
  if (!has_messages()) GTEST_SKIP() << "pgoutput of this version sends no messages";
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  start({{"public", "t"}});
  collector_->poll(milliseconds(1));
  auto scope = scope_of("capture", {{"public", "t"}});
  server_.sql("CREATE TABLE n (a int PRIMARY KEY)");
  scope.known_tables = {std::stoull(server_.value("SELECT 't'::regclass::oid")),
                        std::stoull(server_.value("SELECT 'n'::regclass::oid"))};
  server_.sql("ALTER TABLE t RENAME TO u");
  server_.sql("DROP TABLE u");
  EXPECT_THAT(next_lines(), ElementsAre("schema public.n(a)"));
  EXPECT_THAT(next_lines(), ElementsAre("schema public.u(a)"));
  EXPECT_THAT(next_lines(), ElementsAre("drop public.u"));

  capture_ = source_->capture(notes_);
  capture_->verify(scope, checkpoint_, {});
  capture_->start(checkpoint_.resume_position, {});
  collector_.emplace(*capture_);
  EXPECT_THAT(next_lines(), ElementsAre("schema public.n(a)"));
  EXPECT_THAT(next_lines(), ElementsAre("schema public.u(a)"));
  EXPECT_THAT(next_lines(), ElementsAre("drop public.u"));
}

TEST_P(DdlTest, FollowsPartitions) {
  server_.sql(
      "CREATE TABLE p (r int PRIMARY KEY) PARTITION BY RANGE (r);"
      "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE p2 (r int PRIMARY KEY)");
  start({{"public", "p1"}, {"public", "p2"}});
  collector_->poll(milliseconds(1));
  server_.sql("INSERT INTO p VALUES (1); INSERT INTO p2 VALUES (11)");
  EXPECT_THAT(next_lines(), ElementsAre("schema public.p1(r)", "insert public.p1", "schema public.p2(r)",
                                        "insert public.p2"));
  server_.sql(
      "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (12);"
      "ALTER TABLE p ADD COLUMN b text; INSERT INTO p VALUES (2, 'b'), (13, 'b'); ALTER TABLE p DETACH "
      "PARTITION p1;"
      "INSERT INTO p1 VALUES (3, 'b')");
  server_.sql("CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30)");
  if (!has_messages()) {
    EXPECT_THAT(next_lines(), ElementsAre("insert public.p2", "schema public.p1(r,b)", "insert public.p1",
                                          "schema public.p2(r,b)", "insert public.p2", "insert public.p1"));
    EXPECT_TRUE(comes_outside("schema public.p3(r,b)"));
    return;
  }
  EXPECT_THAT(next_lines(), ElementsAre("insert public.p2", "schema public.p1(r,b)", "schema public.p2(r,b)",
                                        "insert public.p1", "insert public.p2", "insert public.p1"));
  EXPECT_THAT(next_lines(), ElementsAre("schema public.p3(r,b)"));
}

TEST_P(DdlTest, FollowsARenamedSchemaAndNothingOfWhatWasRolledBack) {
  if (!has_messages()) GTEST_SKIP() << "pgoutput of this version sends no messages";
  server_.sql("CREATE SCHEMA s; CREATE TABLE s.t (a int PRIMARY KEY)");
  start({{"s", "t"}});
  server_.sql(
      "BEGIN; DROP TABLE s.t; ROLLBACK; BEGIN; SAVEPOINT a; ALTER TABLE s.t RENAME TO no; ROLLBACK TO a; "
      "COMMIT");
  server_.sql("ALTER SCHEMA s RENAME TO r");
  EXPECT_THAT(next_lines(), ElementsAre("schema r.t(a)"));
}

TEST_P(DdlTest, MovesATableThatLosesItsKeyInTheUsersOwnTransaction) {
  server_.sql(
      "CREATE TABLE a (i int PRIMARY KEY, v int); CREATE TABLE b (i int PRIMARY KEY, v int);"
      "CREATE TABLE c (i int NOT NULL, v int); CREATE UNIQUE INDEX c_i ON c (i);"
      "ALTER TABLE c REPLICA IDENTITY USING INDEX c_i; CREATE TABLE d (i int PRIMARY KEY, v int);"
      "INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1); INSERT INTO c VALUES (1, 1); INSERT INTO d "
      "VALUES (1, 1);"
      "CREATE PUBLICATION theirs FOR TABLE d");
  start({{"public", "a"}, {"public", "b"}, {"public", "c"}});
  server_.sql("ALTER TABLE a DROP CONSTRAINT a_pkey; UPDATE a SET v = 2; DELETE FROM a");
  server_.sql("ALTER TABLE b REPLICA IDENTITY NOTHING");
  server_.sql("UPDATE b SET v = 2");
  server_.sql("DROP INDEX c_i");
  server_.sql("UPDATE c SET v = 2");
  EXPECT_EQ(server_.value("SELECT string_agg(tablename || ' ' || pubname, ', ' ORDER BY tablename) FROM "
                          "pg_publication_tables WHERE pubname <> 'theirs'"),
            "a ferry_capture_ins, b ferry_capture_ins, c ferry_capture_ins");
  // What is not ours stays where it was.
  EXPECT_THROW(server_.sql("ALTER TABLE d DROP CONSTRAINT d_pkey; UPDATE d SET v = 2"), std::exception);
}

TEST_P(DdlTest, NeverFailsTheUsersStatement) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY, b int)");
  start({{"public", "t"}});
  // Another session holds the publication: the move gives up, the statement does not.
  Connection holder = session();
  holder.run("BEGIN; ALTER PUBLICATION ferry_capture_full SET (publish = 'insert, update, delete')", "hold",
             {});
  server_.sql("ALTER TABLE t DROP CONSTRAINT t_pkey");
  holder.run("ROLLBACK", "let go", {});
  server_.sql("DROP TABLE awsdms_ddl_key");
  server_.sql("ALTER TABLE t ADD COLUMN c int; CREATE TABLE x (a int); DROP TABLE x");
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0"),
            "3");
  EXPECT_EQ(server_.value("SELECT count(*) FROM awsdms_ddl_audit"), "0");
}

// The function runs with a superuser's rights whenever anybody makes a table.
TEST_P(DdlTest, RunsNothingOfTheCallersOwn) {
  server_.sql(
      "CREATE TABLE t (a int PRIMARY KEY); CREATE ROLE eve LOGIN PASSWORD 'secret'; CREATE SCHEMA eve "
      "AUTHORIZATION eve");
  start({{"public", "t"}});
  Connection eve = session("eve");
  eve.run(
      "CREATE TABLE eve.seen (who text);"
      "CREATE FUNCTION eve.spy() RETURNS text LANGUAGE sql AS 'INSERT INTO eve.seen VALUES (current_user) "
      "RETURNING who';"
      "CREATE FUNCTION eve.same(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT eve.spy() IS NULL';"
      "CREATE OPERATOR eve.= (LEFTARG = text, RIGHTARG = text, FUNCTION = eve.same);"
      "CREATE FUNCTION eve.current_query() RETURNS text LANGUAGE sql AS 'SELECT eve.spy()';"
      "CREATE FUNCTION eve.txid_current() RETURNS bigint LANGUAGE sql AS 'SELECT length(eve.spy())::bigint';"
      "CREATE FUNCTION eve.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT eve.spy()';"
      "CREATE DOMAIN eve.text AS pg_catalog.text CHECK (eve.spy() IS NOT NULL);"
      "CREATE DOMAIN eve.name AS pg_catalog.name CHECK (eve.spy() IS NOT NULL)",
      "lay traps", {});
  eve.run("SET search_path = eve, pg_catalog; SET lock_timeout = '7s'", "set the path", {});
  eve.run("CREATE TABLE eve.x (a int); ALTER TABLE eve.x ADD COLUMN b int; DROP TABLE eve.x", "fall in", {});
  EXPECT_EQ(server_.value("SELECT count(*) FROM eve.seen"), "0");
  EXPECT_EQ(eve.run("SHOW search_path", "look", {}).text(0, 0), "eve, pg_catalog");
  EXPECT_EQ(eve.run("BEGIN; CREATE TABLE eve.x (a int); SHOW lock_timeout", "look", {}).text(0, 0), "7s");
  eve.run("COMMIT", "commit", {});
  EXPECT_EQ(eve.run("SHOW lock_timeout", "look", {}).text(0, 0), "7s");
  // Nobody can put code into what the function writes, nor read the key.
  EXPECT_THROW(
      eve.run("CREATE TRIGGER x BEFORE INSERT ON public.awsdms_ddl_audit FOR EACH ROW EXECUTE PROCEDURE "
              "suppress_redundant_updates_trigger()",
              "trap the table", {}),
      base::Error);
  EXPECT_THROW(eve.run("SELECT c_key FROM public.awsdms_ddl_key", "read the key", {}), base::Error);
}

TEST_P(DdlTest, TakesOnlyATableThatNobodyElseCanHavePrepared) {
  server_.sql(
      "CREATE TABLE t (a int PRIMARY KEY); CREATE ROLE eve; CREATE TABLE awsdms_ddl_audit (c_key bigserial "
      "PRIMARY KEY, "
      "c_time timestamp, c_user varchar(64), c_txn varchar(16), c_tag varchar(24), c_oid integer, c_name "
      "varchar(64), "
      "c_schema varchar(64), c_ddlqry text); ALTER TABLE awsdms_ddl_audit OWNER TO eve");
  start({{"public", "t"}});
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_event_trigger"), "0");
  EXPECT_EQ(capture_->created().size(), 3U);
  capture_.reset();

  // DMS's own, made by an administrator, is taken over and left behind.
  server_.sql("ALTER TABLE awsdms_ddl_audit OWNER TO postgres");
  start({{"public", "t"}});
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_event_trigger"), "2");
  capture_.reset();
  source_->capture(notes_)->clean(scope_of("capture", {}), {});
  EXPECT_EQ(server_.value(
                "SELECT string_agg(relname, ' ') FROM pg_class WHERE relname ~ '^awsdms' AND relkind = 'r'"),
            "awsdms_ddl_audit");
}

TEST_P(DdlTest, IsSharedByTheTasksOfADatabaseUntilTheLastIsCleaned) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY); CREATE SCHEMA elsewhere");
  MemoryNotes second_notes;
  auto endpoint = endpoint_at(server_.port());
  endpoint.settings["ddlartifactsschema"] = {.name = "DdlArtifactsSchema", .value = "elsewhere"};
  auto second = source_at(endpoint);
  auto first_scope = scope_of("capture", {{"public", "t"}});
  auto second_scope = scope_of("second", {{"public", "t"}});
  source_->capture(notes_)->prepare(first_scope, {});
  auto capture = second->capture(second_notes);
  auto position = capture->prepare(second_scope, {});
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_class WHERE relname = 'awsdms_ddl_audit'"), "1");
  EXPECT_THAT(capture->created(), Contains("function public.awsdms_intercept_ddl"));

  EXPECT_EQ(source_->capture(notes_)->clean(first_scope, {}).size(), 3U);
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_event_trigger"), "2");
  capture->start(position.position, {});
  Collector stream(*capture);
  server_.sql("DROP TABLE t");
  if (has_messages()) {
    auto transaction = stream.next();
    ASSERT_TRUE(transaction);
    EXPECT_THAT(lines_of(transaction->changes), ElementsAre("drop public.t"));
  }
  capture.reset();
  EXPECT_EQ(second->capture(second_notes)->clean(second_scope, {}).size(), 8U);
  EXPECT_EQ(
      server_.value("SELECT (SELECT count(*) FROM pg_event_trigger) + (SELECT count(*) FROM pg_class WHERE "
                    "relname ~ '^awsdms') + (SELECT count(*) FROM pg_proc WHERE proname ~ '^awsdms')"),
      "0");
}

TEST_P(DdlTest, StaysForATaskThatReadsASlotOfTheUsers) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  for (const char* slot : {"users", "shared"})
    server_.sql(fmt::format("SELECT pg_create_logical_replication_slot('{}', 'test_decoding')", slot));
  auto naming = [&](const char* slot) {
    auto endpoint = endpoint_at(server_.port());
    endpoint.settings["slotname"] = {.name = "SlotName", .value = slot};
    return source_at(endpoint);
  };
  auto triggers = [&] { return server_.value("SELECT count(*) FROM pg_event_trigger"); };
  auto scope = scope_of("capture", {{"public", "t"}});
  auto other_scope = scope_of("other", {{"public", "t"}});

  // Another slot, which nobody reads now.
  auto source = naming("shared");
  auto other = naming("users");
  MemoryNotes other_notes;
  source->capture(notes_)->prepare(scope, {});
  auto position = other->capture(other_notes)->prepare(other_scope, {});
  EXPECT_EQ(source->capture(notes_)->clean(scope, {}).size(), 0U);
  EXPECT_EQ(triggers(), "2");
  server_.sql("SELECT pg_drop_replication_slot('users')");

  // The same slot, which the other task reads.
  other = naming("shared");
  MemoryNotes sharing_notes;
  source = naming("shared");
  source->capture(notes_)->prepare(scope, {});
  auto capture = other->capture(sharing_notes);
  position = capture->prepare(other_scope, {});
  capture->start(position.position, {});
  EXPECT_EQ(source->capture(notes_)->clean(scope, {}).size(), 0U);
  EXPECT_EQ(triggers(), "2");
  EXPECT_EQ(server_.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'shared'"), "t");
  Collector stream(*capture);
  server_.sql("DROP TABLE t");
  auto transaction = stream.next();
  ASSERT_TRUE(transaction);
  EXPECT_THAT(lines_of(transaction->changes), ElementsAre("drop public.t"));
  capture.reset();
  EXPECT_EQ(other->capture(sharing_notes)->clean(other_scope, {}).size(), 5U);
  EXPECT_EQ(triggers(), "0");
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'shared'"), "1");
}

TEST_P(DdlTest, BelievesNoMessageOfAUserWhoMayNotReadTheKey) {
  server_.sql(
      "CREATE ROLE reader LOGIN REPLICATION PASSWORD 'secret'; CREATE TABLE t (a int PRIMARY KEY); GRANT "
      "SELECT ON t TO "
      "reader; CREATE PUBLICATION ferry_reader_full FOR TABLE t; CREATE PUBLICATION ferry_reader_ins");
  source_->capture(notes_)->prepare(scope_of("capture", {{"public", "t"}}), {});
  MemoryNotes notes;
  auto source = source_at(endpoint_at(server_.port(), "reader"));
  capture_ = source->capture(notes);
  auto start = capture_->prepare(scope_of("reader", {{"public", "t"}}), {});
  capture_->start(start.position, {});
  collector_.emplace(*capture_);
  server_.sql("ALTER TABLE t ADD COLUMN b int");
  server_.sql("INSERT INTO t VALUES (1)");
  EXPECT_THAT(next_lines(), ElementsAre("schema public.t(a,b)", "insert public.t"));

  // He may not remove the objects either, and is the last to go.
  capture_.reset();
  server_.sql("DROP PUBLICATION ferry_capture_full, ferry_capture_ins");
  server_.sql(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ "
      "'^ferry_capture'");
  EXPECT_EQ(source->capture(notes)->clean(scope_of("reader", {}), {}).size(), 1U);
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_event_trigger"), "2");
}

TEST_P(DdlTest, WritesTheHeartbeatWhenItIsDueAndNoMoreThanWarnsWhereItCannot) {
  base::ManualClock clock(0);
  Connection connection = session();
  SourceHeartbeat heartbeat("public", std::chrono::minutes(5), clock);
  EXPECT_TRUE(heartbeat.due());
  heartbeat.beat(connection, {});
  EXPECT_FALSE(heartbeat.due());
  std::string first = server_.value("SELECT hb_last_heartbeat_at FROM awsdms_heartbeat");
  EXPECT_FALSE(first.empty());
  clock.advance(std::chrono::minutes(5));
  EXPECT_TRUE(heartbeat.due());
  heartbeat.beat(connection, {});
  EXPECT_EQ(server_.value("SELECT count(*) FROM awsdms_heartbeat WHERE hb_last_heartbeat_at > '" + first +
                          "' AND hb_created_by = 'postgres' AND hb_last_heartbeat_by = 'postgres'"),
            "1");

  // A session that holds the table, and a user without rights: the stream goes on.
  Connection holder = session();
  holder.run("BEGIN; LOCK TABLE public.awsdms_heartbeat", "hold", {});
  heartbeat.beat(connection, {});
  holder.run("ROLLBACK", "let go", {});
  server_.sql("CREATE ROLE reader LOGIN PASSWORD 'secret'");
  Connection reader = session("reader");
  SourceHeartbeat refused("public", std::chrono::minutes(5), clock);
  refused.beat(reader, {});
  EXPECT_FALSE(refused.due());
  EXPECT_EQ(reader.run("SELECT 1", "go on", {}).integer(0, 0), 1);
  heartbeat.beat(connection, {});
  EXPECT_EQ(drop_heartbeat(connection, "public", {}).size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Majors, DdlTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DdlTest);

}  // namespace
}  // namespace ferry::postgres::testing
