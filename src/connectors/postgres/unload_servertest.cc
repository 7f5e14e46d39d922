#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <arrow/api.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "base/error.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/tools_servertest.h"
#include "tests/support/postgres_server.h"

namespace ferry::postgres::testing {
namespace {

using base::ErrorKind;
using std::chrono::seconds;
using test_support::PostgresServer;
using ::testing::HasSubstr;

template <typename Work>
std::pair<ErrorKind, std::string> error_of(Work work) {
  try {
    work();
  } catch (const base::Error& error) {
    return {error.kind(), error.what()};
  }
  return {ErrorKind::kInternal, "nothing was thrown"};
}

std::map<std::string, connector::Prerequisite> by_name(const std::vector<connector::Prerequisite>& all) {
  std::map<std::string, connector::Prerequisite> map;
  for (const auto& each : all) map[each.name] = each;
  return map;
}

class UnloadTest : public ::testing::TestWithParam<int> {};

// A listener that takes connections and never says a word.
class SilentServer {
 public:
  SilentServer() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    ::listen(socket_, 8);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { ::close(socket_); }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;
  int port() const { return port_; }

 private:
  int socket_;
  int port_ = 0;
};

TEST_P(UnloadTest, NeedsNoMoreThanSelect) {
  PostgresServer server(GetParam(), {"wal_level = replica", "max_wal_senders = 0"});
  server.sql(
      "CREATE ROLE reader LOGIN PASSWORD 'secret'; CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2);"
      "CREATE VIEW v AS SELECT a + 1 AS b FROM t; CREATE TABLE forbidden (a int);"
      "GRANT SELECT ON t, v TO reader");
  auto source = source_at(endpoint_at(server.port(), "reader"));

  for (const auto& each : source->check(false, {})) EXPECT_TRUE(each.met) << each.name;
  EXPECT_EQ(unload_all(*source, request_of({"public", "t"})).rows.size(), 2U);
  auto request = request_of({"public", "v"});
  request.want_mark = false;
  Unloaded view = unload_all(*source, request);
  EXPECT_EQ(view.rows.size(), 2U);
  EXPECT_EQ(view.mark, nullptr);
  auto [kind, text] = error_of([&] { unload_all(*source, request_of({"public", "forbidden"})); });
  EXPECT_EQ(kind, ErrorKind::kSourceTable) << text;
  EXPECT_EQ(error_of([&] { unload_all(*source, request_of({"public", "missing"})); }).first,
            ErrorKind::kSourceTable);
}

TEST_P(UnloadTest, EstimatesTheRowsOfTablesThatWereAnalysed) {
  PostgresServer server(GetParam());
  server.sql(
      "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i; ANALYZE t;"
      "CREATE TABLE unknown (a int); CREATE VIEW v AS SELECT * FROM t");
  auto source = source_at(endpoint_at(server.port()));
  auto estimate = [&](const char* name) {
    auto request = request_of({"public", name});
    request.want_mark = false;
    return source->unload()->begin(request, {})->rows_estimate();
  };
  EXPECT_EQ(estimate("t"), 1000);
  EXPECT_EQ(estimate("unknown"), -1);
  EXPECT_EQ(estimate("v"), -1);
}

TEST_P(UnloadTest, CutsBatchesByRowsAndBytes) {
  PostgresServer server(GetParam());
  server.sql(
      "CREATE TABLE t AS SELECT i AS a, repeat('x', 100) AS b FROM generate_series(1, 1000) i; "
      "CREATE TABLE empty (a int)");
  auto source = source_at(endpoint_at(server.port()));
  auto request = request_of({"public", "t"});
  request.batch_rows_max = 64;
  std::vector<std::int64_t> sizes;
  auto unload = source->unload();
  {
    auto table = unload->begin(request, {});
    auto reader = table->open_slice(0, {});
    while (auto batch = reader->next({})) sizes.push_back(batch->rows->num_rows());
  }
  ASSERT_EQ(sizes.size(), 16U);
  EXPECT_EQ(sizes.front(), 64);
  EXPECT_EQ(sizes.back(), 1000 - 15 * 64);

  request.batch_rows_max = 100'000;
  request.batch_bytes_max = 1;
  EXPECT_EQ(unload_all(*source, request).rows.size(), 1000U);
  EXPECT_TRUE(unload_all(*source, request_of({"public", "empty"})).rows.empty());
}

TEST_P(UnloadTest, ReadsARangeOfTheKey) {
  PostgresServer server(GetParam());
  server.sql(
      "CREATE TABLE t (a int, b text, PRIMARY KEY (b, a));"
      "INSERT INTO t SELECT i, v FROM generate_series(1, 10) i, unnest(ARRAY['it''s', 'x\\y']) v");
  auto source = source_at(endpoint_at(server.port()));
  auto request = request_of({"public", "t"});
  request.range = connector::KeyRange{.from = {"it's", "4"}, .to = {"x\\y", "2"}};
  EXPECT_EQ(unload_all(*source, request).rows.size(), 8U);
  request.range = connector::KeyRange{.from = {"x\\y", "2"}, .to = {}};
  EXPECT_EQ(unload_all(*source, request).rows.size(), 9U);
}

TEST_P(UnloadTest, GivesUpOnALockedTableAndHoldsNobodyUpMeanwhile) {
  PostgresServer server(GetParam());
  server.sql("CREATE TABLE t (a int)");
  auto endpoint = endpoint_at(server.port());
  auto source = source_at(endpoint);
  Connection holder(read_settings(endpoint), ConnectionPurpose::kOrdinary, "holder", {});
  holder.run("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE", "lock", {});

  auto request = request_of({"public", "t"});
  request.lock_timeout = seconds(2);
  auto [kind, text] = error_of([&] { unload_all(*source, request); });
  EXPECT_EQ(kind, ErrorKind::kSourceTable);
  EXPECT_THAT(text, HasSubstr("stayed locked for 2 s"));

  std::stop_source stop;
  request.lock_timeout = seconds(0);
  std::jthread stopper([&] {
    while (server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0") {
    }
    stop.request_stop();
  });
  auto unload = source->unload();
  EXPECT_EQ(error_of([&] { unload->begin(request, stop.get_token()); }).first, ErrorKind::kStopped);
}

TEST_P(UnloadTest, ReadsAllRowsOfATableThatIsRewrittenBeforeItsTurn) {
  PostgresServer server(GetParam());
  server.sql(
      "CREATE TABLE rw (a int PRIMARY KEY, b int); INSERT INTO rw SELECT i, i FROM generate_series(1, 10) i");
  auto endpoint = endpoint_at(server.port());
  auto source = source_at(endpoint);
  Connection altering(read_settings(endpoint), ConnectionPurpose::kOrdinary, "altering", {});
  altering.run("BEGIN; ALTER TABLE public.rw ALTER b TYPE bigint", "alter", {});
  std::jthread commit([&] {
    while (server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0") {
    }
    altering.run("COMMIT", "commit", {});
  });
  Unloaded loaded = unload_all(*source, request_of({"public", "rw"}));
  EXPECT_EQ(loaded.rows.size(), 10U);
  EXPECT_EQ(to_string(loaded.table->columns[1].type), "INT8");
}

TEST_P(UnloadTest, StopsInTheMiddleOfATable) {
  PostgresServer server(GetParam());
  server.sql(
      "CREATE TABLE t AS SELECT i AS a FROM generate_series(1, 1000) i;"
      "CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN $1; "
      "END $$;"
      "CREATE VIEW v AS SELECT slow(a) AS a FROM t");
  auto source = source_at(endpoint_at(server.port()));
  auto request = request_of({"public", "v"});
  request.want_mark = false;
  auto table = source->unload()->begin(request, {});
  std::stop_source stop;
  std::jthread stopper([&] {
    while (server.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "0") {
    }
    stop.request_stop();
  });
  std::chrono::steady_clock::time_point asked;
  std::stop_callback note(stop.get_token(), [&] { asked = std::chrono::steady_clock::now(); });
  // The server sends nothing before its first bytes are worth a packet, so even the opening may wait.
  auto [kind, text] = error_of([&] {
    auto reader = table->open_slice(0, stop.get_token());
    reader->next(stop.get_token());
  });
  EXPECT_EQ(kind, ErrorKind::kStopped) << text;
  EXPECT_LT(std::chrono::steady_clock::now() - asked, seconds(1));
}

TEST_P(UnloadTest, SaysWhyThereIsNoConnection) {
  PostgresServer server(GetParam());
  auto kind_of = [&](const model::Endpoint& endpoint) {
    return error_of([&] { source_at(endpoint)->check(false, {}); });
  };
  auto wrong = endpoint_at(server.port(), "postgres", "do-not-print-me");
  auto [kind, text] = kind_of(wrong);
  EXPECT_EQ(kind, ErrorKind::kSourceAuthentication) << text;
  EXPECT_THAT(text, HasSubstr("28P01"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("do-not-print-me")));

  auto database = endpoint_at(server.port());
  database.database_name = "missing host=elsewhere";
  EXPECT_EQ(kind_of(database).first, ErrorKind::kSourceConfiguration) << kind_of(database).second;

  auto tls = endpoint_at(server.port());
  tls.ssl_mode = "require";
  EXPECT_EQ(kind_of(tls).first, ErrorKind::kSourceTls) << kind_of(tls).second;

  auto none = endpoint_at(1);
  EXPECT_EQ(kind_of(none).first, ErrorKind::kSourceUnreachable) << kind_of(none).second;

  SilentServer silent;
  auto mute = endpoint_at(silent.port());
  mute.settings["connectiontimeout"] = {.name = "ConnectionTimeout", .value = "1"};
  auto asked = std::chrono::steady_clock::now();
  EXPECT_EQ(kind_of(mute).first, ErrorKind::kSourceUnreachable) << kind_of(mute).second;
  EXPECT_LT(std::chrono::steady_clock::now() - asked, seconds(3));
}

TEST_P(UnloadTest, ChecksWhatCaptureNeeds) {
  PostgresServer server(GetParam(),
                        {"wal_level = replica", "wal_sender_timeout = 5000", "max_replication_slots = 0"});
  server.sql("CREATE ROLE reader LOGIN PASSWORD 'secret'");
  auto checks = by_name(source_at(endpoint_at(server.port(), "reader"))->check(true, {}));
  EXPECT_FALSE(checks["wal_level"].met);
  EXPECT_FALSE(checks["wal_sender_timeout"].met);
  EXPECT_EQ(checks["wal_sender_timeout"].seen, "5000 ms");
  EXPECT_FALSE(checks["max_replication_slots"].met);
  EXPECT_EQ(checks["max_replication_slots"].kind, ErrorKind::kSourceNoSlot);
  EXPECT_FALSE(checks["replication right"].met);
  EXPECT_EQ(checks["replication right"].kind, ErrorKind::kSourcePrivilege);
  EXPECT_FALSE(checks["wal_level"].remedy.empty());

  PostgresServer ready(GetParam(), {"wal_sender_timeout = 0"});
  for (const auto& each : source_at(endpoint_at(ready.port()))->check(true, {})) {
    EXPECT_TRUE(each.met) << each.name << ": " << each.seen;
  }
}

INSTANTIATE_TEST_SUITE_P(Majors, UnloadTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(UnloadTest);

}  // namespace
}  // namespace ferry::postgres::testing
