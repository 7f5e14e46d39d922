#include "tests/support/postgres_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace ferry::test_support {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PostgresServerTest : public ::testing::TestWithParam<int> {};

TEST_P(PostgresServerTest, RunsTheMajorThatWasAskedFor) {
  const PostgresServer server(GetParam());

  EXPECT_EQ(std::stoi(server.value("SHOW server_version_num")) / 10000, GetParam());
  EXPECT_EQ(server.value("SHOW wal_level"), "logical");
}

TEST_P(PostgresServerTest, KeepsDataOverStopAndKill) {
  PostgresServer server(GetParam());
  server.sql("CREATE TABLE t (id int PRIMARY KEY)");

  server.sql("INSERT INTO t VALUES (1)");
  server.restart();
  server.sql("INSERT INTO t VALUES (2)");
  server.kill9();
  EXPECT_FALSE(server.running());
  EXPECT_THROW(server.sql("SELECT 1"), SqlError);
  server.start();

  EXPECT_EQ(server.value("SELECT string_agg(id::text, ',' ORDER BY id) FROM t"), "1,2");
  EXPECT_THAT(server.log(), HasSubstr("database system was not properly shut down"));
}

TEST_P(PostgresServerTest, DecodesChangesWithPgoutput) {
  const PostgresServer server(GetParam());
  server.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR ALL TABLES");
  server.sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')");

  server.sql("INSERT INTO t VALUES (1)");

  EXPECT_NE(server.value("SELECT count(*) FROM pg_logical_slot_peek_binary_changes('s', NULL, NULL, "
                         "'proto_version', '1', 'publication_names', 'p')"),
            "0");
}

INSTANTIATE_TEST_SUITE_P(Majors, PostgresServerTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PostgresServerTest);

class AnyPostgresServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (PostgresServer::installed_majors().empty()) GTEST_SKIP() << "no PostgreSQL is installed";
  }
  static int major() { return PostgresServer::installed_majors().front(); }
};

TEST_F(AnyPostgresServerTest, GivesNullAndEmptyTextApart) {
  const PostgresServer server(major());

  EXPECT_THAT(server.sql("SELECT NULL, '', 'x' UNION ALL SELECT 'a', NULL, 'b'"),
              ElementsAre(ElementsAre(std::nullopt, "", "x"), ElementsAre("a", std::nullopt, "b")));
}

TEST_F(AnyPostgresServerTest, LetsSettingsWinOverTheDefaults) {
  const PostgresServer server(major(), {"wal_level = replica", "max_replication_slots = 3"});

  EXPECT_EQ(server.value("SHOW wal_level"), "replica");
  EXPECT_EQ(server.value("SHOW max_replication_slots"), "3");
}

TEST_F(AnyPostgresServerTest, ReportsTheSqlstate) {
  const PostgresServer server(major());
  try {
    server.sql("SELECT * FROM missing");
    FAIL() << "a missing table was found";
  } catch (const SqlError& error) {
    EXPECT_EQ(error.sqlstate(), "42P01");
  }
}

TEST_F(AnyPostgresServerTest, SaysWhyItDidNotStart) {
  try {
    const PostgresServer server(major(), {"shared_buffers = nonsense"});
    FAIL() << "nonsense was accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nonsense"));
  }
}

TEST_F(AnyPostgresServerTest, RemovesItsFolder) {
  std::filesystem::path folder;
  {
    const PostgresServer server(major());
    folder = server.socket_directory();
    EXPECT_TRUE(std::filesystem::exists(folder));
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
}

// The server must not outlive a test program that is killed. Its end shows as the end of a pipe that it
// inherits.
TEST_F(AnyPostgresServerTest, EndsWithTheTestProgram) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t program = ::fork();
  if (program == 0) {
    ::close(pipe_ends[0]);
    auto* server = new PostgresServer(major());
    if (::write(pipe_ends[1], server->socket_directory().c_str(),
                server->socket_directory().native().size()) > 0) {
      ::pause();
    }
    ::_exit(1);
  }
  ::close(pipe_ends[1]);
  std::string folder(4096, '\0');
  const ssize_t size = ::read(pipe_ends[0], folder.data(), folder.size());
  ASSERT_GT(size, 0);
  folder.resize(static_cast<std::size_t>(size));

  ::kill(program, SIGKILL);
  ::waitpid(program, nullptr, 0);

  char nothing = 0;
  EXPECT_EQ(::read(pipe_ends[0], &nothing, 1), 0);  // All writers are gone: the server has ended.
  ::close(pipe_ends[0]);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ferry::test_support
