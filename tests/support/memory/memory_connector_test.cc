// What the in-memory connector does beyond the seams' promises (tests/conformance has those): faults, odd
// orders of the log, and the ways a test breaks it.

#include "tests/support/memory/memory_connector.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/support/memory/memory_journal.h"
#include "tests/support/memory/memory_notes.h"
#include "tests/support/memory/record_batch_rows.h"

namespace ferry::test_support {
namespace {

using namespace std::chrono_literals;
using base::Error;
using base::ErrorKind;
using model::ChangeKind;
using model::Coverage;

const model::TableName kTable = {"s", "t"};

model::TableVersion shape_of(model::RowIdentity identity = model::RowIdentity::kKey) {
  model::TableVersion shape;
  shape.name = kTable;
  shape.columns.resize(2);
  shape.columns[0].name = "id";
  shape.columns[0].type.id = model::TypeId::kInt4;
  shape.columns[1].name = "name";
  shape.identity = identity;
  if (identity == model::RowIdentity::kKey) shape.key = {0};
  return shape;
}

Row row(std::int32_t id, std::string_view name) { return {int4_value(id), text_value(name)}; }

std::optional<ErrorKind> error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.kind();
  }
  return std::nullopt;
}

class MemoryConnectorTest : public testing::Test {
 protected:
  void SetUp() override {
    auto setup = database_.begin();
    setup->create_table(shape_of());
    setup->commit();
    scope_.task_name = "task";
    scope_.tables = {kTable};
  }

  MemorySource source(MemorySourceOptions options = {}) { return {database_, faults_, options}; }
  // A capture that is started.
  std::unique_ptr<connector::SourceCapture> capture(MemorySourceOptions options = {}) {
    auto made = source(options).capture(notes_);
    made->start(made->prepare(scope_, {}).position, {});
    return made;
  }
  // "B100 I100 C100": the kinds and transactions of one call of next().
  static std::string kinds(connector::SourceCapture& capture,
                           std::vector<model::TransactionStamp>* stamps = nullptr) {
    model::ChangeBatch batch;
    capture.next(batch, 1 << 20, 0ms, {});
    std::string text;
    model::ChangeReader reader(batch);
    for (model::Change change; reader.next(change);) {
      if (change.kind == ChangeKind::kHeartbeat) continue;
      text += text.empty() ? "" : " ";
      text += "IUDTSXBCRH"[static_cast<int>(change.kind)] + std::to_string(change.subtransaction);
      if (change.stamp != nullptr && stamps != nullptr) stamps->push_back(*change.stamp);
    }
    return text;
  }

  MemoryDatabase database_;
  Faults faults_;
  MemoryNotes notes_;
  connector::CaptureScope scope_;
};

}  // namespace

// ---- faults

TEST_F(MemoryConnectorTest, TheNthCallFails) {
  auto opened = source();
  auto catalog = opened.catalog();
  faults_.arm(
      {.call = "catalog.describe", .passage = 2, .error = Error(ErrorKind::kSourceTable, "injected")});
  EXPECT_EQ(error_of([&] { catalog->describe(kTable, {}); }), std::nullopt);
  EXPECT_EQ(error_of([&] { catalog->describe(kTable, {}); }), ErrorKind::kSourceTable);
  EXPECT_EQ(error_of([&] { catalog->describe(kTable, {}); }), std::nullopt);
  EXPECT_EQ(faults_.passages("catalog.describe"), 3);
}

TEST_F(MemoryConnectorTest, TheWorkIsDoneAndYetItFails) {
  auto opened = source();
  faults_.arm({.call = "capture.prepare",
               .fault = Fault::kDoesThenFails,
               .error = Error(ErrorKind::kSourceConnectionLost, "injected")});
  auto first = opened.capture(notes_);
  EXPECT_EQ(error_of([&] { first->prepare(scope_, {}); }), ErrorKind::kSourceConnectionLost);
  EXPECT_EQ(database_.slots(), std::vector<std::string>{"task"});
  EXPECT_EQ(error_of([&] { opened.capture(notes_)->prepare(scope_, {}); }), std::nullopt)
      << "and is done again";
}

TEST_F(MemoryConnectorTest, ACallThatNeverAnswersEndsWithStop) {
  auto running = capture();
  faults_.arm({.call = "capture.next", .fault = Fault::kNeverAnswers});
  std::stop_source stop;
  auto ended = std::async(std::launch::async, [&] {
    model::ChangeBatch batch;
    return error_of([&] { running->next(batch, 1, 0ms, stop.get_token()); });
  });
  ASSERT_TRUE(faults_.wait_for_passage("capture.next", 1, 30s));
  EXPECT_EQ(ended.wait_for(50ms), std::future_status::timeout);
  stop.request_stop();
  EXPECT_EQ(ended.get(), ErrorKind::kStopped);
}

TEST_F(MemoryConnectorTest, DisarmLetsGoWhatHangs) {
  MemoryStorage storage;
  MemoryJournal journal;
  MemoryTarget target(storage, {journal, base::Clock::real(), {}}, faults_);
  faults_.arm({.call = "tables.sweep",
               .fault = Fault::kNeverAnswers,
               .error = Error(ErrorKind::kTargetUnreachable, "injected")});
  auto ended =
      std::async(std::launch::async, [&] { return error_of([&] { target.tables()->sweep(kTable); }); });
  ASSERT_TRUE(faults_.wait_for_passage("tables.sweep", 1, 30s));
  faults_.disarm();
  EXPECT_EQ(ended.get(), ErrorKind::kTargetUnreachable);
}

// ---- the log

TEST_F(MemoryConnectorTest, LogOrderInterleavesAndRollsBack) {
  auto running = capture({.order = CaptureOrder::kLogOrder});
  auto one = database_.begin();  // 101
  auto two = database_.begin();  // 102
  one->insert(kTable, row(1, "a"));
  two->insert(kTable, row(2, "b"));
  one->begin_subtransaction();  // 103
  one->insert(kTable, row(3, "c"));
  EXPECT_EQ(kinds(*running), "B101 B102 I101 I102 I103") << "open transactions are yielded";
  one->begin_subtransaction();  // 104
  one->insert(kTable, row(4, "d"));
  one->release_subtransaction();
  one->rollback_subtransaction();
  two->rollback();
  one->commit();
  EXPECT_EQ(kinds(*running), "I104 R104 R103 R102 C101");
  EXPECT_EQ(database_.rows(kTable), std::vector<Row>{row(1, "a")});
}

TEST_F(MemoryConnectorTest, CommitOrderYieldsWholeTransactionsOnly) {
  auto running = capture();
  auto one = database_.begin();  // 101
  auto two = database_.begin();  // 102
  one->insert(kTable, row(1, "a"));
  two->insert(kTable, row(2, "b"));
  EXPECT_EQ(kinds(*running), "");
  two->commit();
  one->begin_subtransaction();
  one->insert(kTable, row(3, "c"));
  one->rollback_subtransaction();
  one->commit();
  EXPECT_EQ(kinds(*running), "B102 I102 C102 B101 I101 C101");
}

TEST_F(MemoryConnectorTest, AMarkGoesByVisibilityAndNotByTheLogsOrder) {
  auto running = capture();
  auto hidden = database_.begin();
  auto seen = database_.begin();
  hidden->insert(kTable, row(1, "hidden"));
  seen->insert(kTable, row(2, "seen"));
  hidden->commit_unseen();
  seen->commit();
  auto opened = source();
  auto unload = opened.unload()->begin({.table = kTable}, {});
  hidden->become_seen();
  auto later = database_.begin();
  later->insert(kTable, row(3, "later"));
  later->commit();

  auto batch = unload->open_slice(0, {})->next({});
  ASSERT_TRUE(batch);
  EXPECT_EQ(rows_of(*batch), std::vector<Row>{row(2, "seen")});
  std::vector<model::TransactionStamp> stamps;
  kinds(*running, &stamps);
  ASSERT_EQ(stamps.size(), 3U);
  EXPECT_EQ(unload->mark()->covers(stamps[0]), Coverage::kAfterCopy);
  EXPECT_EQ(unload->mark()->covers(stamps[1]), Coverage::kInCopy) << "it commits later in the log";
  EXPECT_EQ(unload->mark()->covers(stamps[2]), Coverage::kAlwaysAfter);
}

TEST_F(MemoryConnectorTest, ResumePositionsMayLieBeforeTheirTransaction) {
  auto running = capture({.order = CaptureOrder::kLogOrder, .resume_at = ResumeAt::kOldestOpenTransaction});
  auto slow = database_.begin();
  auto quick = database_.begin();
  quick->commit();
  std::vector<model::TransactionStamp> stamps;
  kinds(*running, &stamps);
  ASSERT_EQ(stamps.size(), 1U);
  EXPECT_LT(stamps[0].resume_position, stamps[0].commit_position);
}

TEST_F(MemoryConnectorTest, ValuesStoredElsewhereAreNotSent) {
  database_.leave_out_when_unchanged(kTable, "name");
  auto running = capture();
  auto transaction = database_.begin();
  transaction->insert(kTable, row(1, "long"));
  transaction->update(kTable, {int4_value(1)}, row(2, "long"));
  transaction->update(kTable, {int4_value(2)}, row(2, "changed"));
  transaction->commit();
  model::ChangeBatch batch;
  running->next(batch, 1 << 20, 0ms, {});
  std::vector<Row> after;
  model::ChangeReader reader(batch);
  for (model::Change change; reader.next(change);) {
    if (change.kind == ChangeKind::kUpdate) after.push_back(row_of(change.after));
  }
  EXPECT_EQ(after, (std::vector<Row>{{int4_value(2), not_sent()}, row(2, "changed")}));
}

// ---- the database

TEST_F(MemoryConnectorTest, AcknowledgedLogIsTrimmed) {
  auto running = capture();
  auto start = database_.log_end();
  auto transaction = database_.begin();
  transaction->insert(kTable, row(1, "a"));
  transaction->commit();
  std::vector<model::TransactionStamp> stamps;
  kinds(*running, &stamps);
  EXPECT_TRUE(database_.keeps(start));
  running->acknowledge(stamps[0].resume_position);
  EXPECT_TRUE(database_.keeps(start)) << "before the next call";
  running->keep_alive();
  EXPECT_FALSE(database_.keeps(start));
  EXPECT_TRUE(database_.read_log(0, 100).empty());
}

TEST_F(MemoryConnectorTest, ACaptureBehindALostLogSaysSo) {
  auto running = capture();
  auto transaction = database_.begin();
  transaction->insert(kTable, row(1, "a"));
  transaction->commit();
  database_.lose_log();
  model::ChangeBatch batch;
  EXPECT_EQ(error_of([&] { running->next(batch, 1 << 20, 0ms, {}); }), ErrorKind::kSourceSlotLost);
}

TEST_F(MemoryConnectorTest, ASlotMadeAnewIsNotTheTasks) {
  auto opened = source();
  auto start = opened.capture(notes_)->prepare(scope_, {});
  database_.drop_slot("task");
  database_.make_slot("task", std::nullopt);
  EXPECT_EQ(
      error_of([&] { opened.capture(notes_)->verify(scope_, {start.identity, start.position, {}}, {}); }),
      ErrorKind::kSourceSlotLost);
}

TEST_F(MemoryConnectorTest, SchemaChangesRollBackAndRowsFollow) {
  auto transaction = database_.begin();
  transaction->insert(kTable, row(1, "a"));
  transaction->begin_subtransaction();
  auto wider = *database_.describe(kTable);
  wider.columns.push_back(wider.columns[1]);
  wider.columns[2].name = "extra";
  wider.columns[2].source_number = 0;
  transaction->change_table(kTable, wider);
  transaction->rollback_subtransaction();
  transaction->commit();
  EXPECT_EQ(database_.describe(kTable)->columns.size(), 2U);

  auto renaming = database_.begin();
  wider.name.table = "renamed";
  renaming->change_table(kTable, wider);
  renaming->update({"s", "renamed"}, {int4_value(1)}, {int4_value(1), text_value("a"), text_value("new")});
  renaming->commit();
  EXPECT_EQ(database_.describe(kTable), nullptr);
  EXPECT_EQ(database_.rows({"s", "renamed"}),
            (std::vector<Row>{{int4_value(1), text_value("a"), text_value("new")}}));
}

TEST_F(MemoryConnectorTest, MistakesOfTestsAreRefused) {
  auto transaction = database_.begin();
  transaction->insert(kTable, row(1, "a"));
  EXPECT_THROW(transaction->insert(kTable, row(1, "b")), MemoryDatabaseError);
  EXPECT_THROW(transaction->remove(kTable, {int4_value(2)}), MemoryDatabaseError);
  EXPECT_THROW(transaction->insert({"s", "no"}, row(1, "a")), MemoryDatabaseError);
  transaction->commit();
  auto one = database_.begin();
  auto two = database_.begin();
  one->update(kTable, {int4_value(1)}, row(1, "b"));
  EXPECT_THROW(two->remove(kTable, {int4_value(1)}), MemoryDatabaseError) << "the row is another's";
}

// ---- a target that dies in the middle of a write

class InsertingTransaction : public model::Transaction {
 public:
  InsertingTransaction(const model::TableVersionPtr& table, std::uint64_t number, std::int32_t rows)
      : batch_(batch_of(table, number, rows)), reader_(batch_) {
    std::string key(1, static_cast<char>(number));
    stamp_ = {number, {key, key}, {key, key}, 0};
  }
  const model::TransactionStamp& stamp() const override { return stamp_; }
  bool next(model::Change& change) override { return reader_.next(change); }
  model::Checkpoint checkpoint() const { return {{"i"}, stamp_.resume_position, stamp_.commit_position}; }

 private:
  static model::ChangeBatch batch_of(const model::TableVersionPtr& table, std::uint64_t number,
                                     std::int32_t rows) {
    model::ChangeBatch batch;
    for (std::int32_t i = 0; i < rows; ++i) {
      batch.add_row_change(ChangeKind::kInsert, number, number, table, model::ChangeBatch::Images::kAfter);
      for (const Value& value : row(static_cast<std::int32_t>(number) * 100 + i, "x")) {
        batch.add_cell(value.state, value.bytes);
      }
    }
    return batch;
  }

  model::TransactionStamp stamp_;
  model::ChangeBatch batch_;
  model::ChangeReader reader_;
};

class NoErrors : public model::RowErrorSink {
  void row_error(const model::RowError& error) override { ADD_FAILURE() << error.reason; }
  void data_warning(const model::DataWarning&) override {}
};

class DyingTargetTest : public testing::TestWithParam<Fault> {};

// The second object's write fails, done or not; the next target cuts in other places and reads the intent.
TEST_P(DyingTargetTest, TheSameRowsGoIntoTheSameObject) {
  MemoryStorage storage;
  MemoryJournal journal;
  base::ManualClock clock(0);
  Faults faults;
  NoErrors errors;
  auto table = std::make_shared<model::TableVersion>(shape_of());
  auto run = [&](std::size_t object_rows_max) {
    MemoryTarget target(storage, {journal, clock, {}}, faults,
                        {.form = TargetForm::kObjects, .object_rows_max = object_rows_max});
    auto role = target.apply({});
    role->recover({{"i"}, {}, {}});
    for (std::uint64_t number = 1; number <= 4; ++number) {
      InsertingTransaction transaction(table, number, 5);
      role->apply(transaction, transaction.checkpoint(), errors);
    }
    role->flush();
    EXPECT_EQ(role->durable().applied_through.text(), "\4");
  };
  faults.arm({.call = "apply.write_object",
              .fault = GetParam(),
              .passage = 2,
              .error = Error(ErrorKind::kTargetUnreachable, "injected")});
  EXPECT_EQ(error_of([&] { run(7); }), ErrorKind::kTargetUnreachable);
  auto intent = journal.last_changes(kTable);
  ASSERT_TRUE(intent);
  EXPECT_FALSE(intent->done);
  run(3);
  EXPECT_EQ(storage.rows(kTable).size(), 20U);
  for (const auto& object : journal.objects(kTable)) {
    EXPECT_TRUE(object.done) << object.key;
    if (object.key == intent->key) {
      EXPECT_EQ(object.first, intent->first);
      EXPECT_EQ(object.last, intent->last);
      EXPECT_EQ(object.rows, 7);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, DyingTargetTest, testing::Values(Fault::kFails, Fault::kDoesThenFails));

// ---- rows and connector

TEST(RecordBatchRows, EveryTypeThereAndBack) {
  auto table = std::make_shared<model::TableVersion>();
  Row row;
  auto add = [&](model::TypeId id, Value value, std::int16_t precision = 0) {
    model::Column column;
    column.name = "c" + std::to_string(table->columns.size());
    column.type.id = id;
    column.type.precision = precision;
    table->columns.push_back(column);
    row.push_back(std::move(value));
  };
  add(model::TypeId::kBoolean, native_value(true));
  add(model::TypeId::kInt1, native_value(std::int8_t{-1}));
  add(model::TypeId::kInt2, native_value(std::int16_t{-2}));
  add(model::TypeId::kInt8, native_value(std::int64_t{1} << 40));
  add(model::TypeId::kUint4, native_value(std::uint32_t{1} << 31));
  add(model::TypeId::kReal8, native_value(1.5));
  add(model::TypeId::kNumeric, text_value(std::string(16, '\1')), 20);
  add(model::TypeId::kNumeric, text_value("123.456"));
  add(model::TypeId::kBytes, text_value(std::string("\0\1", 2)));
  add(model::TypeId::kDate, native_value(std::int32_t{19000}));
  add(model::TypeId::kTime, native_value(std::int64_t{1}));
  add(model::TypeId::kDatetime, out_of_domain("infinity"));
  std::vector<Row> rows = {row, Row(row.size(), null_value())};
  auto batch = record_batch_of(table, rows);
  EXPECT_EQ(rows_of(batch), rows);
  ASSERT_EQ(batch.out_of_domain.size(), 1U);
}

TEST(MemoryConnector, KnowsItsRolesAndNoSettings) {
  MemoryDatabase database;
  Faults faults;
  MemoryConnector source_only({.database = &database, .storage = nullptr, .faults = &faults});
  model::Endpoint endpoint;
  EXPECT_NE(source_only.open_source(endpoint), nullptr);
  EXPECT_TRUE(source_only.has_role(model::EndpointRole::kSource));
  EXPECT_FALSE(source_only.has_role(model::EndpointRole::kTarget));
  endpoint.settings["x"] = {.name = "X", .value = "1"};
  EXPECT_EQ(error_of([&] { source_only.open_source(endpoint); }), ErrorKind::kSettingUnknown);
}

TEST(MemoryJournal, LastChangesSurviveForgetting) {
  MemoryJournal journal;
  auto position = [](char c) { return model::StreamPosition(std::string(1, c), ""); };
  connector::ObjectRecord object;
  object.table = kTable;
  object.phase = connector::ObjectPhase::kChanges;
  for (char c : {'a', 'b'}) {
    object.key = c;
    object.last = {position(c), 3};
    journal.intend(object);
  }
  journal.done(kTable, "b");
  journal.forget(kTable, "b");
  ASSERT_TRUE(journal.last_changes(kTable));
  EXPECT_EQ(journal.last_changes(kTable)->key, "b");
  EXPECT_TRUE(journal.last_changes(kTable)->done);
  EXPECT_EQ(journal.objects(kTable).size(), 1U);
  EXPECT_FALSE(journal.last_changes({"s", "other"}));
}

}  // namespace ferry::test_support
