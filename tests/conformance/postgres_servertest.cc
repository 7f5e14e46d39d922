// PostgreSQL as a source under the suite. A server is shared by the tests of its major; each has a new
// database.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "connectors/postgres/client.h"
#include "connectors/postgres/connector.h"
#include "tests/conformance/source_conformance.h"
#include "tests/support/postgres_server.h"

namespace ferry::conformance {
namespace {

using postgres::Connection;
using test_support::PostgresServer;

// The least that the prerequisites take: a silent capture is cut off after it, and an idle one hears of the
// server in half of it.
constexpr std::chrono::seconds kWalSenderTimeout{10};
constexpr int kMajorOfSlowTests = 15;

// One server of each major that a test asked for, until the program ends.
PostgresServer& shared_server(int major) {
  static std::map<int, std::unique_ptr<PostgresServer>> servers;
  auto& server = servers[major];
  if (!server) {
    server = std::make_unique<PostgresServer>(
        major, std::vector{"wal_sender_timeout = " + std::to_string(kWalSenderTimeout.count()) + "s"});
  }
  return *server;
}

std::string quoted(const model::TableName& table) {
  return postgres::quote_identifier(table.schema) + "." + postgres::quote_identifier(table.table);
}

class PostgresSession : public SourceSession {
 public:
  explicit PostgresSession(const postgres::Settings& settings)
      : connection_(settings, postgres::ConnectionPurpose::kOrdinary, "suite", {}) {}

  void begin() override { run("BEGIN"); }
  void insert(const model::TableName& table, const SuiteRow& row) override {
    run("INSERT INTO " + quoted(table) + " (id, name) VALUES ($1, $2)", {std::to_string(row.id), row.name});
  }
  void update(const model::TableName& table, std::int32_t id, const SuiteRow& after) override {
    run("UPDATE " + quoted(table) + " SET id = $2, name = $3 WHERE id = $1",
        {std::to_string(id), std::to_string(after.id), after.name});
  }
  void remove(const model::TableName& table, std::int32_t id) override {
    run("DELETE FROM " + quoted(table) + " WHERE id = $1", {std::to_string(id)});
  }
  void truncate(const model::TableName& table) override { run("TRUNCATE " + quoted(table)); }
  void savepoint() override {
    savepoints_.push_back("s" + std::to_string(++made_));
    run("SAVEPOINT " + savepoints_.back());
  }
  void rollback_to_savepoint() override {
    run("ROLLBACK TO SAVEPOINT " + savepoints_.back());
    release_savepoint();
  }
  void release_savepoint() override {
    run("RELEASE SAVEPOINT " + savepoints_.back());
    savepoints_.pop_back();
  }
  bool add_column(const model::TableName& table, const std::string& column,
                  std::chrono::milliseconds lock_timeout) override {
    run("SET LOCAL lock_timeout = " + std::to_string(lock_timeout.count()));
    try {
      run("ALTER TABLE " + quoted(table) + " ADD COLUMN " + postgres::quote_identifier(column) + " text");
    } catch (const base::Error&) {
      return false;
    }
    return true;
  }
  void create_table(const model::TableName& table, model::RowIdentity identity) override {
    bool keyed = identity == model::RowIdentity::kKey;
    run("CREATE TABLE " + quoted(table) + " (id integer NOT NULL" + (keyed ? " PRIMARY KEY" : "") +
        ", name text)");
    if (identity == model::RowIdentity::kFullRow)
      run("ALTER TABLE " + quoted(table) + " REPLICA IDENTITY FULL");
  }
  void drop_table(const model::TableName& table) override { run("DROP TABLE " + quoted(table)); }
  void commit() override { run("COMMIT"); }
  void rollback() override { run("ROLLBACK"); }

 private:
  void run(std::string sql, postgres::Parameters parameters = {}) {
    connection_.run(
        {.sql = std::move(sql), .doing = "write to the source", .parameters = std::move(parameters)}, {});
  }

  Connection connection_;
  std::vector<std::string> savepoints_;
  int made_ = 0;
};

class PostgresSourceFixture : public SourceFixture {
 public:
  explicit PostgresSourceFixture(int major) : server_(shared_server(major)) {
    static int databases = 0;
    database_ = "suite_" + std::to_string(++databases);
    server_.sql("CREATE DATABASE " + database_);
    // The server's own running log entries, 15 s apart, may be what moves it.
    quirks_.heartbeat_within = std::chrono::seconds(60);
    quirks_.announces_shapes = true;  // A RELATION message precedes a table's first row in each stream.
    // The proof takes three times as long, so one major gives it for all.
    if (major == kMajorOfSlowTests) quirks_.cuts_silent_capture_after = kWalSenderTimeout;
  }
  ~PostgresSourceFixture() override {
    // A slot would hold the server's log, and its place, for the tests after this one.
    drop_connections();
    for (const auto& row :
         server_.sql("SELECT slot_name FROM pg_replication_slots WHERE database = '" + database_ + "'")) {
      server_.sql("SELECT pg_drop_replication_slot('" + *row[0] + "')");
    }
    server_.sql("DROP DATABASE " + database_ + " WITH (FORCE)");
  }

  const SourceQuirks& quirks() const override { return quirks_; }
  std::unique_ptr<connector::Source> open() override { return open_at(server_.port()); }
  // Nothing listens on port 1 of a machine that runs tests.
  std::unique_ptr<connector::Source> open_unreachable() override { return open_at(1); }
  std::unique_ptr<SourceSession> session() override {
    return std::make_unique<PostgresSession>(postgres::read_settings(endpoint(server_.port())));
  }
  model::TableName name(const std::string& table) const override { return {"public", table}; }
  void create_view(const model::TableName& view, const model::TableName& of) override {
    sql("CREATE VIEW " + quoted(view) + " AS SELECT * FROM " + quoted(of));
  }
  bool create_partitioned(const model::TableName& parent, const model::TableName& leaf) override {
    sql("CREATE TABLE " + quoted(parent) + " (id integer PRIMARY KEY, name text) PARTITION BY RANGE (id);" +
        "CREATE TABLE " + quoted(leaf) + " PARTITION OF " + quoted(parent) + " DEFAULT");
    return true;
  }
  std::vector<std::string> capture_things() override {
    std::vector<std::string> things;
    const char* query =
        "SELECT 'slot ' || slot_name FROM pg_replication_slots "
        "UNION ALL SELECT 'publication ' || pubname || ' of ' || coalesce(("
        "    SELECT string_agg(t::text, ', ' ORDER BY t::text) FROM pg_publication_tables t WHERE t.pubname "
        "= p.pubname), "
        "    'nothing') FROM pg_publication p "
        "UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger "
        "UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)' "
        "UNION ALL SELECT 'relation ' || oid::regclass::text FROM pg_class WHERE oid >= 16384 AND "
        "    relname LIKE 'awsdms%' "
        "UNION ALL SELECT 'function ' || oid::regprocedure::text FROM pg_proc WHERE oid >= 16384 ORDER BY 1";
    for (const auto& row : server_.sql(query, database_)) things.push_back(*row[0]);
    return things;
  }
  std::optional<bool> acknowledged(const std::string&, const model::StreamPosition& position) override {
    // A position's text is an LSN.
    return server_.value("SELECT coalesce(bool_and(confirmed_flush_lsn >= '" + position.text() +
                             "'), false) FROM pg_replication_slots WHERE database = '" + database_ + "'",
                         database_) == "t";
  }
  bool lose_log(const std::string&) override {
    server_.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '" +
                database_ + "'");
    return true;
  }
  bool drop_connections() override {
    const std::string ours = "pg_stat_activity WHERE datname = '" + database_ + "'";
    server_.sql("SELECT pg_terminate_backend(pid) FROM " + ours);
    // The walsender has let go of its slot once it is gone.
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (server_.value("SELECT count(*) FROM " + ours) != "0") {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("connections outlive their end");
    }
    return true;
  }
  // The server is on the machine's clock.
  void pass_time(std::chrono::milliseconds duration) override { std::this_thread::sleep_for(duration); }

 private:
  model::Endpoint endpoint(int port) const {
    model::Endpoint made;
    made.identifier = "source";
    made.engine_name = "postgres";
    made.server_name = "127.0.0.1";
    made.port = static_cast<std::uint16_t>(port);
    made.database_name = database_;
    made.username = std::string(PostgresServer::kUser);
    made.password = base::Secret(PostgresServer::kPassword);
    return made;
  }
  std::unique_ptr<connector::Source> open_at(int port) {
    return postgres::make_postgres_connector()->open_source(endpoint(port));
  }
  void sql(const std::string& statements) { server_.sql(statements, database_); }

  PostgresServer& server_;
  std::string database_;
  SourceQuirks quirks_;
};

std::vector<SourceCase> cases() {
  std::vector<SourceCase> all;
  for (int major : PostgresServer::installed_majors()) {
    all.push_back({"postgres_" + std::to_string(major),
                   [major] { return std::make_unique<PostgresSourceFixture>(major); }});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Postgres, SourceConformance, testing::ValuesIn(cases()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace ferry::conformance
