// The two decoders read the same log: what one yields the other must yield, to the byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/position.h"
#include "connectors/postgres/settings.h"
#include "connectors/postgres/slot.h"
#include "connectors/postgres/tools_servertest.h"
#include "tests/support/postgres_server.h"

namespace ferry::postgres::testing {
namespace {

using base::ErrorKind;
using model::CellState;
using model::ChangeKind;
using model::TableName;
using std::chrono::seconds;
using test_support::PostgresServer;
using ::testing::HasSubstr;

model::Endpoint with_test_decoding(model::Endpoint endpoint) {
  endpoint.settings["pluginname"] = {.name = "PluginName", .value = "test_decoding"};
  return endpoint;
}

std::string shown(const OwnedCell& cell) {
  std::string text = std::to_string(static_cast<int>(cell.state)) + ":";
  for (char c : cell.bytes) {
    char hex[3];
    snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(c));
    text += hex;
  }
  return text.substr(0, 200) + (text.size() > 200 ? "… " + std::to_string(text.size()) : "");
}

std::string shown(const model::TableVersion& version) {
  std::string text = to_string(version.name) + " #" + std::to_string(version.source_table) + "(";
  for (const model::Column& column : version.columns) {
    text += column.name + " " + to_string(column.type) + " " + column.source_type + " " +
            std::to_string(column.source_number) + (column.nullable ? "" : " not null") + ", ";
  }
  text += ") identity " + std::to_string(static_cast<int>(version.identity)) + " key";
  for (std::uint32_t key : version.key) text += " " + std::to_string(key);
  return text;
}

// One line per change, and one for the commit.
std::vector<std::string> shown(const OwnedTransaction& transaction) {
  std::vector<std::string> lines;
  for (const OwnedChange& change : transaction.changes) {
    std::string line = std::to_string(static_cast<int>(change.kind)) + " " + shown(*change.table);
    for (const OwnedCell& cell : change.before) line += " -" + shown(cell);
    for (const OwnedCell& cell : change.after) line += " +" + shown(cell);
    lines.push_back(std::move(line));
  }
  lines.push_back("commit " + std::to_string(transaction.stamp.id) + " at " +
                  std::to_string(transaction.stamp.commit_time) + " up to " +
                  transaction.stamp.resume_position.text());
  return lines;
}

class DecodersTest : public ::testing::TestWithParam<int> {
 protected:
  DecodersTest() : server_(GetParam(), {"logical_decoding_work_mem = 64kB"}) {}

  void start(const std::vector<TableName>& tables) {
    start_one(pgoutput_, endpoint_at(server_.port()), "one", tables);
    start_one(test_decoding_, with_test_decoding(endpoint_at(server_.port())), "two", tables);
  }

  // Both decoders' next transactions, which must be equal; nothing when they differ or there is none.
  std::optional<OwnedTransaction> next() {
    auto one = pgoutput_.collector->next();
    auto two = test_decoding_.collector->next();
    EXPECT_TRUE(one && two);
    if (!one || !two) return std::nullopt;
    EXPECT_EQ(shown(*one), shown(*two));
    return two;
  }

  struct Side {
    MemoryNotes notes;
    std::unique_ptr<connector::Source> source;
    std::unique_ptr<connector::SourceCapture> capture;
    std::optional<Collector> collector;
  };

  // Without CaptureDdls, whose messages keep pgoutput from sending pieces.
  static void start_one(Side& side, model::Endpoint endpoint, const std::string& task,
                        const std::vector<TableName>& tables) {
    endpoint.settings["captureddls"] = {.name = "CaptureDdls", .value = "false"};
    side.source = source_at(endpoint);
    side.capture = side.source->capture(side.notes);
    auto start = side.capture->prepare(scope_of(task, tables), {});
    side.capture->start(start.position, {});
    side.collector.emplace(*side.capture);
  }

  PostgresServer server_;
  Side pgoutput_;
  Side test_decoding_;
};

TEST_P(DecodersTest, AgreeOnEveryKindOfChange) {
  server_.sql(
      "CREATE SCHEMA \"S \"\"c\"; CREATE TYPE \"S \"\"c\".\"my]type\" AS ENUM ('a b', 'it''s');"
      "CREATE TABLE k (id int PRIMARY KEY, \"B \"\"b\" text, c text, e \"S \"\"c\".\"my]type\");"
      "ALTER TABLE k ALTER c SET STORAGE EXTERNAL;"
      "CREATE TABLE f (a int, b numeric(10,2), c text); ALTER TABLE f REPLICA IDENTITY FULL;"
      "ALTER TABLE f ALTER c SET STORAGE EXTERNAL;"
      "CREATE TABLE fk (a int PRIMARY KEY, b text); ALTER TABLE fk REPLICA IDENTITY FULL;"
      "CREATE TABLE i (a int, b int NOT NULL, c text); CREATE UNIQUE INDEX ib ON i (b);"
      "ALTER TABLE i REPLICA IDENTITY USING INDEX ib;"
      "CREATE TABLE z (a int PRIMARY KEY, b text); ALTER TABLE z REPLICA IDENTITY NOTHING;"
      "CREATE TABLE n (a int, b text);"
      "CREATE TABLE two (b int, x text, a int, PRIMARY KEY (a, b));"
      "CREATE TABLE left_out (a int PRIMARY KEY)");
  start({{"public", "k"},
         {"public", "f"},
         {"public", "fk"},
         {"public", "i"},
         {"public", "z"},
         {"public", "n"},
         {"public", "two"}});
  server_.sql(
      "INSERT INTO k VALUES (1, E'it''s\\n\\\\', repeat('c', 9000), 'it''s'), (2, NULL, '', 'a b');"
      "INSERT INTO f VALUES (7, NULL, repeat('x', 9000)), (8, 1.5, NULL); INSERT INTO fk VALUES (1, NULL);"
      "INSERT INTO i VALUES (1, 2, 'x'); INSERT INTO two VALUES (1, 'x', 2)");
  server_.sql(
      "UPDATE k SET \"B \"\"b\" = NULL; UPDATE f SET a = a + 1; UPDATE fk SET b = 'x'; UPDATE i SET c = 'y';"
      "UPDATE two SET x = NULL");
  server_.sql("UPDATE k SET id = id + 10; UPDATE fk SET a = 2; UPDATE i SET b = 3; UPDATE two SET b = 5");
  server_.sql(
      "INSERT INTO z VALUES (1, 'z'); UPDATE z SET b = 'y'; INSERT INTO n VALUES (1, 'n');"
      "UPDATE n SET a = 2; DELETE FROM n");
  server_.sql(
      "DELETE FROM k WHERE id = 11; DELETE FROM f; DELETE FROM fk; DELETE FROM i; DELETE FROM two;"
      "DELETE FROM z");
  server_.sql(
      "BEGIN; INSERT INTO k VALUES (20, 'a'); SAVEPOINT s; INSERT INTO k VALUES (21, 'b');"
      "ROLLBACK TO s; INSERT INTO k VALUES (22, 'c'); COMMIT");
  server_.sql("TRUNCATE k, f; TRUNCATE i RESTART IDENTITY CASCADE");
  int transactions = 7;
  for (int i = 0; i < transactions; ++i) ASSERT_TRUE(next()) << i;
}

// Stored generated columns are in every stream of test_decoding, and in pgoutput's from 18 on.
TEST_P(DecodersTest, AgreeOnGeneratedColumns) {
  server_.sql("CREATE TABLE g (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED, z text)");
  if (GetParam() >= 18) server_.sql("ALTER TABLE g ADD v int GENERATED ALWAYS AS (id * 3) VIRTUAL");
  start({{"public", "g"}});
  server_.sql("INSERT INTO g (id, z) VALUES (5, 'z'); UPDATE g SET id = 6");
  if (GetParam() >= 18) {
    auto both = next();
    ASSERT_TRUE(both);
    EXPECT_EQ(both->changes.at(1).after.at(3).state, CellState::kNotSent);
    return;
  }
  auto without = pgoutput_.collector->next();
  auto with = test_decoding_.collector->next();
  ASSERT_TRUE(without && with);
  EXPECT_EQ(without->changes.at(1).after.at(1).state, CellState::kNotSent);
  EXPECT_EQ(shown(with->changes.at(1).after.at(1)), "1:0a000000");
  with->changes.at(1).after.at(1) =
      with->changes.at(2).after.at(1) = {.state = CellState::kNotSent, .bytes = {}};
  EXPECT_EQ(shown(*without), shown(*with));
}

TEST_P(DecodersTest, AgreeOnShapesAtTheirTime) {
  server_.sql("CREATE TABLE t (id int PRIMARY KEY, b int, n numeric(10,2))");
  start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (1, 10, 1.25)");
  ASSERT_TRUE(next());
  // Read at once, each of these is the catalog's own shape.
  server_.sql("ALTER TABLE t DROP COLUMN b; INSERT INTO t VALUES (2, 2.25)");
  ASSERT_TRUE(next());
  server_.sql("ALTER TABLE t RENAME COLUMN n TO m; INSERT INTO t VALUES (3, 3.25)");
  ASSERT_TRUE(next());
  // More digits than the last shape has room for.
  server_.sql("ALTER TABLE t ALTER m TYPE numeric(12,4); INSERT INTO t VALUES (4, 4.1234)");
  auto widened = next();
  ASSERT_TRUE(widened);
  EXPECT_EQ(to_string(widened->changes.at(1).table->columns[1].type), "NUMERIC(12,4)");
  server_.sql("ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (5, 5.5)");
  ASSERT_TRUE(next());
}

// Rows written before a change of the table are read after it.
TEST_P(DecodersTest, KeepValuesOfRowsThatAreOlderThanTheCatalog) {
  server_.sql("CREATE TABLE t (id int PRIMARY KEY, n numeric(10,4), gone text, r text)");
  start({{"public", "t"}});
  server_.sql("INSERT INTO t VALUES (1, 1.2345, 'a', 'b'), (2, 2.5, NULL, NULL)");
  server_.sql("DELETE FROM t WHERE id = 1");
  server_.sql("ALTER TABLE t ALTER n TYPE numeric(8,1), DROP COLUMN gone; ALTER TABLE t RENAME r TO s");
  server_.sql("UPDATE t SET s = 'now'");

  auto cells = [&](Side& side) {
    std::vector<std::string> all;
    for (int i = 0; i < 3; ++i) {
      auto transaction = side.collector->next();
      for (const OwnedChange& change : transaction.value().changes) {
        if (change.kind == ChangeKind::kSchemaChange) continue;
        for (std::size_t c = 0; c < change.table->columns.size(); ++c) {
          const Row& row = change.kind == ChangeKind::kDelete ? change.before : change.after;
          if (row[c].state == CellState::kNotSent) continue;
          EXPECT_NE(row[c].state, CellState::kOutOfDomain);
          if (change.table->columns[c].name != "n")
            all.push_back(change.table->columns[c].name + shown(row[c]));
        }
      }
    }
    return all;
  };
  EXPECT_EQ(cells(test_decoding_), cells(pgoutput_));
}

TEST_P(DecodersTest, NoticesAKeyThatComesAndAnIdentityThatChanges) {
  server_.sql("CREATE TABLE t (a int NOT NULL, b text); INSERT INTO t VALUES (1, 'x')");
  start_one(test_decoding_, with_test_decoding(endpoint_at(server_.port())), "two", {{"public", "t"}});
  server_.sql("UPDATE t SET b = 'y'");
  server_.sql("INSERT INTO t VALUES (2, NULL)");
  auto first = test_decoding_.collector->next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->changes.back().kind, ChangeKind::kInsert);

  server_.sql("ALTER TABLE t ADD PRIMARY KEY (a)");
  auto deadline = std::chrono::steady_clock::now() + seconds(20);
  std::optional<OwnedTransaction> seen;
  while (!seen && std::chrono::steady_clock::now() < deadline) {
    server_.sql("UPDATE t SET b = 'z' WHERE a = 1");
    seen = test_decoding_.collector->next(std::chrono::milliseconds(200));
  }
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->changes.back().kind, ChangeKind::kUpdate);
  EXPECT_EQ(seen->changes.back().table->key, (std::vector<std::uint32_t>{0}));

  server_.sql("ALTER TABLE t REPLICA IDENTITY FULL");
  CellState absent = CellState::kNotSent;
  while (absent != CellState::kNull && std::chrono::steady_clock::now() < deadline) {
    server_.sql("UPDATE t SET b = NULL WHERE a = 2");
    auto updated = test_decoding_.collector->next();
    ASSERT_TRUE(updated);
    if (!updated->changes.back().before.empty()) absent = updated->changes.back().before.at(1).state;
  }
  EXPECT_EQ(absent, CellState::kNull);
}

TEST_P(DecodersTest, FallsBackForAUserWhoMayNotMakePublications) {
  server_.sql(
      "CREATE TABLE t (a int PRIMARY KEY); CREATE ROLE reader LOGIN REPLICATION PASSWORD 'secret';"
      "GRANT SELECT ON t TO reader");
  auto reader = endpoint_at(server_.port(), "reader");
  for (const connector::Prerequisite& each : source_at(reader)->check(true, {})) {
    EXPECT_TRUE(each.met || !each.required) << each.name << " " << each.seen;
  }
  start_one(test_decoding_, reader, "two", {{"public", "t"}});
  EXPECT_EQ(server_.value("SELECT plugin FROM pg_replication_slots"), "test_decoding");
  EXPECT_THAT(test_decoding_.capture->created(), ::testing::ElementsAre(HasSubstr("replication slot")));
  server_.sql("INSERT INTO t VALUES (1)");
  auto transaction = test_decoding_.collector->next();
  ASSERT_TRUE(transaction);

  // The choice outlives the right that was missing.
  model::Checkpoint checkpoint{
      .identity =
          test_decoding_.source->capture(test_decoding_.notes)->prepare(scope_of("other", {}), {}).identity,
      .resume_position = transaction->stamp.resume_position,
      .applied_through = {}};
  test_decoding_.notes.set("postgres.plugin", "test_decoding");
  test_decoding_.capture.reset();
  server_.sql("ALTER ROLE reader SUPERUSER");
  test_decoding_.capture = test_decoding_.source->capture(test_decoding_.notes);
  test_decoding_.capture->verify(scope_of("two", {{"public", "t"}}), checkpoint, {});
  test_decoding_.capture->start(checkpoint.resume_position, {});
  test_decoding_.collector.emplace(*test_decoding_.capture);
  server_.sql("INSERT INTO t VALUES (2)");
  auto second = test_decoding_.collector->next();
  ASSERT_TRUE(second);
  EXPECT_EQ(shown(second->changes.back().after.at(0)), "1:02000000");
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_publication"), "0");
  test_decoding_.capture.reset();
  EXPECT_EQ(test_decoding_.source->capture(test_decoding_.notes)->clean(scope_of("two", {}), {}).size(), 1U);
}

TEST_P(DecodersTest, TakesTheUsersSlotByItsPlugin) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  server_.sql("SELECT pg_create_logical_replication_slot('mine', 'test_decoding')");
  server_.sql("SELECT pg_create_logical_replication_slot('his', 'pgoutput')");
  auto endpoint = endpoint_at(server_.port());
  endpoint.settings["slotname"] = {.name = "SlotName", .value = "mine"};
  server_.sql("INSERT INTO t VALUES (1)");
  start_one(test_decoding_, endpoint, "two", {{"public", "t"}});
  auto transaction = test_decoding_.collector->next();
  ASSERT_TRUE(transaction);
  EXPECT_EQ(shown(transaction->changes.back().after.at(0)), "1:01000000");
  EXPECT_EQ(server_.value("SELECT count(*) FROM pg_publication"), "0");
  test_decoding_.capture.reset();

  auto refusal = [&](const model::Endpoint& at) {
    MemoryNotes notes;
    try {
      source_at(at)->capture(notes)->prepare(scope_of("two", {{"public", "t"}}), {});
    } catch (const base::Error& error) {
      return std::string(error.what());
    }
    return std::string("nothing was thrown");
  };
  auto other = with_test_decoding(endpoint);
  other.settings["slotname"].value = "his";
  EXPECT_THAT(refusal(other), HasSubstr("pgoutput, where PluginName says test_decoding"));
  if (GetParam() < 14) return;
  server_.sql("SELECT pg_create_logical_replication_slot('both', 'test_decoding', false, true)");
  other.settings["slotname"].value = "both";
  EXPECT_THAT(refusal(other), HasSubstr("prepared transactions"));
}

TEST_P(DecodersTest, NamesAPluginThatIsNotTheTasks) {
  server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
  start_one(test_decoding_, with_test_decoding(endpoint_at(server_.port())), "two", {{"public", "t"}});
  auto identity = test_decoding_.capture->current_position({});
  test_decoding_.capture.reset();
  auto checked = test_decoding_.source->capture(test_decoding_.notes);
  auto start = checked->prepare(scope_of("two", {{"public", "t"}}), {});
  std::string slot = server_.value("SELECT slot_name FROM pg_replication_slots");
  server_.sql("SELECT pg_drop_replication_slot('" + slot + "')");
  server_.sql("SELECT pg_create_logical_replication_slot('" + slot + "', 'pgoutput')");
  try {
    test_decoding_.source->capture(test_decoding_.notes)
        ->verify(scope_of("two", {{"public", "t"}}),
                 {.identity = start.identity, .resume_position = start.position, .applied_through = {}}, {});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kSourceSlotLost);
    EXPECT_THAT(error.message(), HasSubstr("pgoutput"));
    EXPECT_THAT(error.message(), HasSubstr("test_decoding"));
  }
}

// From 14 on pgoutput sends what outgrows logical_decoding_work_mem before it commits; test_decoding does
// not.
TEST_P(DecodersTest, AgreeOnTransactionsThatAreSentInProgress) {
  if (GetParam() < 14) GTEST_SKIP() << "the server sends transactions whole";
  server_.sql("CREATE TABLE t (a int PRIMARY KEY, b text); CREATE TABLE small (a int PRIMARY KEY)");
  start({{"public", "t"}, {"public", "small"}});
  auto settings = read_settings(endpoint_at(server_.port()));
  Connection one(settings, ConnectionPurpose::kOrdinary, "one", {});
  Connection two(settings, ConnectionPurpose::kOrdinary, "two", {});
  auto insert = [](Connection& at, int from, int to) {
    at.run("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(" + std::to_string(from) +
               ", " + std::to_string(to) + ") i",
           "insert", {});
  };
  auto read_open = [&](std::size_t at_least) {
    auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (pgoutput_.collector->open_changes() < at_least && std::chrono::steady_clock::now() < deadline) {
      pgoutput_.collector->poll(std::chrono::milliseconds(200));
    }
    EXPECT_GE(pgoutput_.collector->open_changes(), at_least);
  };

  one.run("BEGIN", "begin", {});
  insert(one, 1, 3000);
  read_open(1000);
  one.run("SAVEPOINT s; SAVEPOINT inner_s", "mark", {});
  insert(one, 3001, 6000);
  read_open(4000);
  two.run("BEGIN", "begin", {});
  insert(two, 10'001, 13'000);
  read_open(5000);
  one.run("ROLLBACK TO s", "roll back", {});
  server_.sql("INSERT INTO small VALUES (1)");
  insert(one, 6001, 9000);
  two.run("SAVEPOINT s", "mark", {});
  insert(two, 13'001, 16'000);
  two.run("RELEASE s; UPDATE public.t SET b = 'y' WHERE a % 100 = 0 AND a > 10000", "release", {});
  Connection lost(settings, ConnectionPurpose::kOrdinary, "lost", {});
  lost.run("BEGIN", "begin", {});
  insert(lost, 20'001, 23'000);
  two.run("COMMIT", "commit", {});
  lost.run("ROLLBACK", "roll back", {});
  one.run("COMMIT", "commit", {});
  server_.sql("INSERT INTO small VALUES (2)");

  std::vector<std::size_t> sizes;
  for (int i = 0; i < 4; ++i) {
    auto one_side = pgoutput_.collector->next();
    auto other_side = test_decoding_.collector->next();
    ASSERT_TRUE(one_side && other_side);
    // A table's shape is said again within each transaction that comes in pieces.
    for (auto* side : {&*one_side, &*other_side}) {
      std::erase_if(side->changes,
                    [](const OwnedChange& each) { return each.kind == ChangeKind::kSchemaChange; });
    }
    EXPECT_EQ(shown(*one_side), shown(*other_side));
    sizes.push_back(one_side->changes.size());
  }
  EXPECT_THAT(sizes, ::testing::ElementsAre(1, 6060, 6000, 1));
  EXPECT_EQ(pgoutput_.collector->open_changes(), 0U);
}

// A transaction may show a shape that nobody else sees, or ever will.
TEST_P(DecodersTest, KeepTheShapesOfTransactionsInProgressApart) {
  if (GetParam() < 14) GTEST_SKIP() << "the server sends transactions whole";
  server_.sql("CREATE TABLE t (a int PRIMARY KEY, b text)");
  start({{"public", "t"}});
  auto settings = read_settings(endpoint_at(server_.port()));
  Connection one(settings, ConnectionPurpose::kOrdinary, "one", {});
  Connection two(settings, ConnectionPurpose::kOrdinary, "two", {});
  auto insert = [](Connection& at, int from, const std::string& columns = "i, repeat('x', 100)") {
    at.run("INSERT INTO public.t SELECT " + columns + " FROM generate_series(" + std::to_string(from) + ", " +
               std::to_string(from + 2999) + ") i",
           "insert", {});
  };
  auto read_open = [&](std::size_t at_least) {
    auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (pgoutput_.collector->open_changes() < at_least && std::chrono::steady_clock::now() < deadline) {
      pgoutput_.collector->poll(std::chrono::milliseconds(200));
    }
    EXPECT_GE(pgoutput_.collector->open_changes(), at_least);
  };
  server_.sql("INSERT INTO t VALUES (0, 'first')");
  ASSERT_TRUE(next());

  one.run("BEGIN; SAVEPOINT s; ALTER TABLE public.t DROP b, ADD c int, ADD d int", "alter", {});
  insert(one, 1, "i, i, i");
  read_open(1000);
  one.run("ROLLBACK TO s", "roll back", {});
  // The former shape again, in a transaction of each kind, while the first is still open.
  two.run("BEGIN", "begin", {});
  insert(two, 10'001);
  read_open(2000);
  server_.sql("INSERT INTO t VALUES (99999, 'small')");
  insert(one, 20'001);
  two.run("COMMIT", "commit", {});
  one.run("COMMIT", "commit", {});
  server_.sql("INSERT INTO t VALUES (99998, 'small')");
  // A shape that does come to be, with a type that only its own transaction sees at first.
  one.run("BEGIN; CREATE TYPE public.mood AS ENUM ('ok'); ALTER TABLE public.t ADD m public.mood", "alter",
          {});
  insert(one, 30'001, "i, 'x', 'ok'");
  read_open(1000);
  one.run("COMMIT", "commit", {});
  server_.sql("INSERT INTO t VALUES (99997, 'small', 'ok')");

  for (int i = 0; i < 6; ++i) {
    auto one_side = pgoutput_.collector->next();
    auto other_side = test_decoding_.collector->next();
    ASSERT_TRUE(one_side && other_side);
    auto rows = [](const OwnedTransaction& transaction) {
      std::vector<std::string> lines;
      for (const OwnedChange& change : transaction.changes) {
        if (change.kind == ChangeKind::kSchemaChange) continue;
        std::string line;
        for (std::size_t c = 0; c < change.table->columns.size(); ++c) {
          line += change.table->columns[c].name + "=" + shown(change.after.at(c)) + " ";
        }
        lines.push_back(std::move(line));
      }
      return lines;
    };
    EXPECT_EQ(rows(*one_side), rows(*other_side)) << i;
    // Once it has committed, the shape is the catalog's.
    if (i == 5) {
      EXPECT_EQ(shown(*one_side->changes.back().table), shown(*other_side->changes.back().table));
    }
  }
}

TEST_P(DecodersTest, FollowsTablesThatComeAndGoButTakesNoRenameForADrop) {
  server_.sql(
      "CREATE TABLE moved (a int PRIMARY KEY); CREATE TABLE dropped (a int PRIMARY KEY); CREATE SCHEMA "
      "other");
  start_one(test_decoding_, with_test_decoding(endpoint_at(server_.port())), "two",
            {{"public", "moved"}, {"public", "dropped"}});
  std::vector<std::pair<ChangeKind, std::string>> seen;
  auto read_until = [&](ChangeKind kind, const std::string& table) {
    auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (std::ranges::count(seen, std::pair(kind, table)) == 0 &&
           std::chrono::steady_clock::now() < deadline) {
      test_decoding_.collector->poll(std::chrono::milliseconds(200));
      for (const OwnedChange& change : test_decoding_.collector->take_outside()) {
        seen.emplace_back(change.kind, change.table->name.table);
      }
    }
  };
  server_.sql("CREATE TABLE one (a int)");
  read_until(ChangeKind::kSchemaChange, "one");
  server_.sql("ALTER TABLE moved SET SCHEMA other; DROP TABLE dropped");
  read_until(ChangeKind::kDrop, "dropped");
  server_.sql("CREATE TABLE two (a int)");
  read_until(ChangeKind::kSchemaChange, "two");
  EXPECT_THAT(seen, ::testing::ElementsAre(std::pair(ChangeKind::kSchemaChange, "one"),
                                           std::pair(ChangeKind::kDrop, "dropped"),
                                           std::pair(ChangeKind::kSchemaChange, "two")));
}

TEST_P(DecodersTest, SaysThatThePluginIsNotInstalled) {
  auto settings = read_settings(endpoint_at(server_.port()));
  Connection connection(settings, ConnectionPurpose::kOrdinary, "control", {});
  try {
    create_slot(settings, connection,
                {.name = "x",
                 .plugin = "no_such_plugin",
                 .application_name = "walsender",
                 .connected = [](const SlotReader&) {}},
                {});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kSourceConfiguration);
    EXPECT_THAT(error.what(), HasSubstr("Install the plugin no_such_plugin on the server"));
  }
}

INSTANTIATE_TEST_SUITE_P(Majors, DecodersTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DecodersTest);

}  // namespace
}  // namespace ferry::postgres::testing
