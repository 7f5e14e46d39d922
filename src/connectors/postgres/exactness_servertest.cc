// A load taken while the table is written to, and the changes that its mark lets through, together are the
// table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/position.h"
#include "connectors/postgres/tools_servertest.h"
#include "tests/support/postgres_server.h"

namespace ferry::postgres::testing {
namespace {

using model::CellState;
using model::ChangeKind;
using model::RowIdentity;
using model::TableName;
using test_support::PostgresServer;

const TableName kKeyed{"public", "keyed"};
const TableName kBare{"public", "bare"};
const TableName kWhole{"public", "whole"};

// A copy of a table that changes are applied to.
class Replica {
 public:
  explicit Replica(const Unloaded& loaded) : table_(loaded.table), mark_(loaded.mark) {
    for (const Row& row : loaded.rows) rows_.insert(row);
  }

  void apply(const OwnedTransaction& transaction) {
    if (mark_->covers(transaction.stamp) == model::Coverage::kInCopy) return;
    for (const OwnedChange& change : transaction.changes) {
      if (change.table->name == table_->name) apply(change);
    }
  }

  const std::multiset<Row>& rows() const { return rows_; }

 private:
  void apply(const OwnedChange& change) {
    if (change.kind == ChangeKind::kSchemaChange) return;
    if (change.kind == ChangeKind::kTruncate) {
      rows_.clear();
      return;
    }
    Row after = change.after;
    if (change.kind != ChangeKind::kInsert) {
      auto old = find(change.before.empty() ? change.after : change.before);
      ASSERT_NE(old, rows_.end()) << "a change of a row that is not there";
      for (std::size_t i = 0; i < after.size(); ++i) {
        if (after[i].state == CellState::kNotSent) after[i] = (*old)[i];
      }
      rows_.erase(old);
    }
    if (change.kind != ChangeKind::kDelete) rows_.insert(std::move(after));
  }

  std::multiset<Row>::iterator find(const Row& image) {
    if (table_->identity == RowIdentity::kFullRow) return rows_.find(image);
    // The key is the first column of all tables here, so the rows are in its order.
    auto found = rows_.lower_bound(Row{image.front()});
    return found != rows_.end() && found->front() == image.front() ? found : rows_.end();
  }

  model::TableVersionPtr table_;
  std::shared_ptr<const model::SnapshotMark> mark_;
  std::multiset<Row> rows_;
};

void make_tables(PostgresServer& server) {
  server.sql(
      "CREATE TABLE keyed (id bigserial PRIMARY KEY, v int, pad text);"
      "CREATE TABLE bare (v int, pad text);"
      "CREATE TABLE whole (v int, pad text); ALTER TABLE whole REPLICA IDENTITY FULL;"
      "ALTER TABLE keyed ALTER pad SET STORAGE EXTERNAL; ALTER TABLE whole ALTER pad SET STORAGE EXTERNAL;"
      "INSERT INTO keyed (v, pad) SELECT i, repeat('x', i % 3000) FROM generate_series(1, 2000) i;"
      "INSERT INTO bare SELECT i % 10, 'pad' FROM generate_series(1, 2000) i;"
      "INSERT INTO whole SELECT i % 10, repeat('y', i % 3000) FROM generate_series(1, 500) i");
}

// One random transaction: several tables, savepoints, pauses, sometimes a rollback.
std::string random_work(std::mt19937& random) {
  auto pick = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  std::string sql = "BEGIN;";
  int steps = 1 + pick(5);
  for (int i = 0; i < steps; ++i) {
    std::string number = std::to_string(pick(1000));
    bool savepoint = pick(4) == 0;
    if (savepoint) sql += "SAVEPOINT s;";
    switch (pick(8)) {
      case 0:
        sql += "INSERT INTO keyed (v, pad) VALUES (" + number + ", repeat('z', " + number + " * 5));";
        break;
      case 1:
        sql += "UPDATE keyed SET v = v + 1 WHERE id = (SELECT id FROM keyed ORDER BY random() LIMIT 1);";
        break;
      case 2: sql += "DELETE FROM keyed WHERE id = (SELECT id FROM keyed ORDER BY random() LIMIT 1);"; break;
      case 3:
        sql +=
            "UPDATE keyed SET id = nextval('keyed_id_seq') WHERE id = (SELECT id FROM keyed ORDER BY "
            "random() LIMIT 1);";
        break;
      case 4: sql += "INSERT INTO bare VALUES (" + number + ", 'new');"; break;
      case 5: sql += "INSERT INTO whole VALUES (" + number + ", repeat('w', " + number + " * 5));"; break;
      case 6:
        sql += "UPDATE whole SET v = v + 1 WHERE ctid = (SELECT ctid FROM whole ORDER BY random() LIMIT 1);";
        break;
      default:
        sql += "DELETE FROM whole WHERE ctid = (SELECT ctid FROM whole ORDER BY random() LIMIT 1);";
        break;
    }
    if (pick(3) == 0) sql += "SELECT pg_sleep(0.0" + std::to_string(pick(4)) + ");";
    if (savepoint) sql += pick(2) == 0 ? "ROLLBACK TO s;" : "RELEASE s;";
  }
  return sql + (pick(6) == 0 ? "ROLLBACK" : "COMMIT");
}

// Sessions that write until they are destroyed.
class Writers {
 public:
  Writers(const model::Endpoint& endpoint, int count) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([endpoint, i](std::stop_token stop) {
        std::mt19937 random(static_cast<unsigned>(i));
        try {
          Connection connection(read_settings(endpoint), ConnectionPurpose::kOrdinary, "writer", {});
          connection.run("SET search_path = public", "prepare", {});
          while (!stop.stop_requested()) {
            try {
              connection.run(random_work(random), "write", {});
            } catch (const base::Error& error) {
              if (error.vendor_code().empty() || error.vendor_code().starts_with("57P"))
                return;                                     // The server is gone.
              connection.run("ROLLBACK", "roll back", {});  // A deadlock.
            }
          }
        } catch (const base::Error&) {
          // The server went away: the writer ends, as an application would.
        }
      });
    }
  }

 private:
  std::vector<std::jthread> threads_;
};

Lsn log_end(PostgresServer& server) { return *parse_lsn(server.value("SELECT pg_current_wal_insert_lsn()")); }

// Every transaction up to the server's present end of log.
void drain(Collector& collector, PostgresServer& server, std::vector<OwnedTransaction>& into) {
  Lsn end = log_end(server);
  server.sql("INSERT INTO bare VALUES (-1, 'end')");
  while (auto transaction = collector.next()) {
    into.push_back(std::move(*transaction));
    if (lsn_of(into.back().stamp.commit_position) >= end) return;
  }
  FAIL() << "the stream ended before the log did";
}

void expect_exact(connector::Source& source, const std::vector<Unloaded>& loads,
                  const std::vector<OwnedTransaction>& transactions) {
  std::map<TableName, std::multiset<Row>> truth;
  for (const TableName& table : {kKeyed, kBare, kWhole}) {
    auto request = request_of(table);
    request.want_mark = false;
    Unloaded now = unload_all(source, request);
    truth[table] = {now.rows.begin(), now.rows.end()};
  }
  for (const Unloaded& load : loads) {
    Replica replica(load);
    for (const OwnedTransaction& transaction : transactions) replica.apply(transaction);
    EXPECT_EQ(replica.rows().size(), truth[load.table->name].size()) << to_string(load.table->name);
    EXPECT_TRUE(replica.rows() == truth[load.table->name]) << to_string(load.table->name);
  }
  for (std::size_t i = 1; i < transactions.size(); ++i) {
    EXPECT_LT(transactions[i - 1].stamp.commit_position, transactions[i].stamp.commit_position);
  }
}

class ExactnessTest : public ::testing::TestWithParam<int> {};

TEST_P(ExactnessTest, LoadsAndChangesFitUnderConcurrentWriters) {
  PostgresServer server(GetParam());
  make_tables(server);
  auto endpoint = endpoint_at(server.port());
  auto source = source_at(endpoint);
  MemoryNotes notes;

  std::vector<Unloaded> loads;
  std::vector<OwnedTransaction> transactions;
  auto capture = source->capture(notes);
  Collector collector(*capture);
  {
    Writers writers(endpoint, 8);
    auto start = capture->prepare(scope_of("exact", {kKeyed, kBare, kWhole}), {});
    capture->start(start.position, {});
    std::jthread loader([&] {
      for (int round = 0; round < 4; ++round) {
        for (const TableName& table : {kKeyed, kBare, kWhole})
          loads.push_back(unload_all(*source, request_of(table)));
      }
    });
    for (int i = 0; i < 300; ++i) {
      if (auto transaction = collector.next()) transactions.push_back(std::move(*transaction));
    }
  }
  drain(collector, server, transactions);
  expect_exact(*source, loads, transactions);

  int in_copy = 0;
  for (const OwnedTransaction& transaction : transactions) {
    if (loads.back().mark->covers(transaction.stamp) == model::Coverage::kInCopy) ++in_copy;
  }
  EXPECT_GT(in_copy, 0) << "no transaction ran beside the loads, so nothing was tested";
}

TEST_P(ExactnessTest, ResumesAfterKillsOfEitherSide) {
  PostgresServer server(GetParam(), {"fsync = on"});
  make_tables(server);
  auto endpoint = endpoint_at(server.port());
  auto source = source_at(endpoint);
  MemoryNotes notes;
  auto scope = scope_of("resume", {kKeyed, kBare, kWhole});

  auto capture = source->capture(notes);
  auto start = capture->prepare(scope, {});
  std::vector<Unloaded> loads;
  for (const TableName& table : {kKeyed, kBare, kWhole})
    loads.push_back(unload_all(*source, request_of(table)));
  model::Checkpoint checkpoint{
      .identity = start.identity, .resume_position = start.position, .applied_through = {}};
  std::vector<OwnedTransaction> transactions;

  for (int life = 0; life < 4; ++life) {
    Writers writers(endpoint, 4);
    if (life > 0) {
      capture = source->capture(notes);
      capture->verify(scope, checkpoint, {});
    }
    capture->start(checkpoint.resume_position, {});
    Collector collector(*capture);
    try {
      for (int i = 0; i < 60; ++i) {
        auto transaction = collector.next();
        ASSERT_TRUE(transaction);
        // What is taken is durable, and now and then acknowledged; the rest of the batch dies with the
        // capture.
        checkpoint.resume_position = transaction->stamp.resume_position;
        transactions.push_back(std::move(*transaction));
        if (i % 20 == 10) capture->acknowledge(checkpoint.resume_position);
        if (life == 2 && i == 30) server.kill9();
      }
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kSourceConnectionLost) << error.what();
    }
    if (!server.running()) server.start();
  }
  capture = source->capture(notes);
  capture->verify(scope, checkpoint, {});
  capture->start(checkpoint.resume_position, {});
  Collector collector(*capture);
  drain(collector, server, transactions);
  expect_exact(*source, loads, transactions);
  EXPECT_FALSE(capture->clean(scope, {}).empty());
  EXPECT_EQ(server.value(
                "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)"),
            "0");
}

INSTANTIATE_TEST_SUITE_P(Majors, ExactnessTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ExactnessTest);

}  // namespace
}  // namespace ferry::postgres::testing
