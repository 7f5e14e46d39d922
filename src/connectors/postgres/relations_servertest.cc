#include "connectors/postgres/relations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "base/bytes.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/settings.h"
#include "connectors/postgres/tools_servertest.h"
#include "tests/support/postgres_server.h"

namespace ferry::postgres::testing {
namespace {

using test_support::PostgresServer;

constexpr std::uint32_t kInt4 = 23;

// Today's servers describe a table again whenever a transaction in progress has changed any; the protocol
// promises less, and these tests hold Relations to that.
class RelationsTest : public ::testing::TestWithParam<int> {
 protected:
  RelationsTest()
      : server_(GetParam()),
        settings_(read_settings(endpoint_at(server_.port()))),
        connection_(settings_, ConnectionPurpose::kOrdinary, "relations", {}),
        shapes_(settings_, [this](std::stop_token) -> Connection& { return connection_; }),
        relations_(settings_, [this](std::stop_token) -> Connection& { return connection_; }, shapes_) {
    server_.sql("CREATE TABLE t (a int PRIMARY KEY)");
    oid_ = static_cast<std::uint32_t>(std::stoul(server_.value("SELECT 't'::regclass::oid")));
  }

  // The description of public.t with these columns of type int, the first of them its key.
  void take(std::initializer_list<std::string_view> columns, std::uint32_t streamed_by) {
    std::string message = "R";
    base::append_big_endian(message, oid_);
    message += std::string_view("public\0t\0d", 10);
    base::append_big_endian(message, static_cast<std::uint16_t>(columns.size()));
    bool first = true;
    for (std::string_view column : columns) {
      message += first ? '\1' : '\0';
      first = false;
      message += std::string(column) + '\0';
      base::append_big_endian(message, kInt4);
      base::append_big_endian(message, std::int32_t{-1});
    }
    pgoutput::Decoder decoder;
    relations_.take(std::get<pgoutput::Description>(decoder.decode(message)), streamed_by, {});
  }

  std::size_t columns_for(std::uint32_t streamed_by) const {
    return relations_.find(oid_, streamed_by).columns.size();
  }

  PostgresServer server_;
  Settings settings_;
  Connection connection_;
  DdlShapes shapes_;
  Relations relations_;
  std::uint32_t oid_ = 0;
};

TEST_P(RelationsTest, KeepsWhatTransactionsInProgressShowApart) {
  take({"a"}, 0);
  take({"a", "b"}, 7);
  take({"a", "b", "c"}, 8);
  EXPECT_EQ(columns_for(0), 1U);
  EXPECT_EQ(columns_for(7), 2U);
  EXPECT_EQ(columns_for(8), 3U);
  EXPECT_EQ(columns_for(9), 1U);
  relations_.roll_back(7);
  EXPECT_EQ(columns_for(7), 1U);
  relations_.commit(8, {});
  EXPECT_EQ(columns_for(0), 3U);
  EXPECT_EQ(columns_for(7), 3U);
}

TEST_P(RelationsTest, BelievesTheDescriptionThatCameLast) {
  take({"a", "b"}, 7);
  take({"a"}, 0);
  relations_.commit(7, {});
  EXPECT_EQ(columns_for(0), 1U);
}

// The catalog is ahead of the log, and the log does not say generated columns.
TEST_P(RelationsTest, KeepsGeneratedColumnsWhereTheCatalogIsOfAnotherTime) {
  server_.sql("ALTER TABLE t ADD b int, ADD g int GENERATED ALWAYS AS (a * 2) STORED, ADD c int");
  take({"a", "b", "c"}, 0);
  server_.sql("ALTER TABLE t DROP c");
  take({"a", "c"}, 0);
  const StreamTable& table = relations_.find(oid_, 0);
  std::vector<std::string> names;
  for (const model::Column& column : table.version->columns) names.push_back(column.name);
  EXPECT_THAT(names, ::testing::ElementsAre("a", "g", "c"));
  EXPECT_EQ(table.columns[1].place, -1);
  EXPECT_EQ(table.columns[2].place, 1);
  EXPECT_EQ(table.version->key, std::vector<std::uint32_t>{0});
}

TEST_P(RelationsTest, AsksTheCatalogAgainOnceATransactionHasCommitted) {
  take({"a", "b"}, 7);
  EXPECT_EQ(relations_.find(oid_, 7).version->columns[1].source_number, 0);
  server_.sql("ALTER TABLE t ADD b int NOT NULL");
  relations_.commit(7, {});
  EXPECT_EQ(relations_.find(oid_, 0).version->columns[1].source_number, 2);
  EXPECT_FALSE(relations_.find(oid_, 0).version->columns[1].nullable);
}

INSTANTIATE_TEST_SUITE_P(Majors, RelationsTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RelationsTest);

}  // namespace
}  // namespace ferry::postgres::testing
