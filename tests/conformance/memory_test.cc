// The in-memory connector under the suite: also the shortest example of fixtures.

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/conformance/source_conformance.h"
#include "tests/conformance/target_conformance.h"
#include "tests/support/memory/memory_journal.h"
#include "tests/support/memory/memory_source.h"
#include "tests/support/memory/memory_target.h"

namespace ferry::conformance {
namespace {

using namespace std::chrono_literals;
namespace memory = ferry::test_support;

// ---- rows and shapes

model::Column column(std::string name, model::TypeId type, bool nullable) {
  model::Column made;
  made.name = std::move(name);
  made.type.id = type;
  made.nullable = nullable;
  return made;
}

model::TableVersion suite_shape(const model::TableName& name, model::RowIdentity identity) {
  model::TableVersion shape;
  shape.name = name;
  shape.columns = {column(std::string(kIdColumn), model::TypeId::kInt4, false),
                   column(std::string(kNameColumn), model::TypeId::kWstring, true)};
  shape.identity = identity;
  if (identity == model::RowIdentity::kKey) shape.key = {0};
  return shape;
}

memory::Row memory_row(const SuiteRow& row, std::size_t columns) {
  memory::Row made = {memory::int4_value(row.id),
                      row.name ? memory::text_value(*row.name) : memory::null_value()};
  made.resize(columns);
  return made;
}

SuiteRow suite_row_of(const memory::Row& row) {
  SuiteRow made{base::load_native<std::int32_t>(row[0].bytes.data()), std::nullopt};
  if (row[1].state != model::CellState::kNull) made.name = row[1].bytes;
  return made;
}

// ---- the source

class MemorySession : public SourceSession {
 public:
  explicit MemorySession(memory::MemoryDatabase& database) : database_(database) {}

  void begin() override { transaction_ = database_.begin(); }
  void insert(const model::TableName& table, const SuiteRow& row) override {
    transaction_->insert(table, memory_row(row, database_.describe(table)->columns.size()));
  }
  void update(const model::TableName& table, std::int32_t id, const SuiteRow& after) override {
    auto shape = database_.describe(table);
    transaction_->update(table, which(table, *shape, id), memory_row(after, shape->columns.size()));
  }
  void remove(const model::TableName& table, std::int32_t id) override {
    transaction_->remove(table, which(table, *database_.describe(table), id));
  }
  void truncate(const model::TableName& table) override { transaction_->truncate(table); }
  void savepoint() override { transaction_->begin_subtransaction(); }
  void rollback_to_savepoint() override { transaction_->rollback_subtransaction(); }
  void release_savepoint() override { transaction_->release_subtransaction(); }
  bool add_column(const model::TableName& table, const std::string& name,
                  std::chrono::milliseconds lock_timeout) override {
    transaction_->set_lock_timeout(lock_timeout);
    auto shape = *database_.describe(table);
    shape.columns.push_back(column(name, model::TypeId::kWstring, true));
    try {
      transaction_->change_table(table, shape);
    } catch (const memory::MemoryDatabaseError&) {
      return false;
    }
    return true;
  }
  void create_table(const model::TableName& table, model::RowIdentity identity) override {
    transaction_->create_table(suite_shape(table, identity));
  }
  void drop_table(const model::TableName& table) override { transaction_->drop_table(table); }
  void commit() override { transaction_->commit(); }
  void rollback() override { transaction_->rollback(); }

 private:
  // How the database names the row with this id.
  memory::Row which(const model::TableName& table, const model::TableVersion& shape, std::int32_t id) {
    if (shape.identity == model::RowIdentity::kKey) return {memory::int4_value(id)};
    for (const memory::Row& row : database_.rows(table)) {
      if (suite_row_of(row).id == id) return row;
    }
    throw memory::MemoryDatabaseError("there is no row with this id");
  }

  memory::MemoryDatabase& database_;
  std::unique_ptr<memory::MemoryTransaction> transaction_;
};

class MemorySourceFixture : public SourceFixture {
 public:
  explicit MemorySourceFixture(memory::MemorySourceOptions options) : options_(options) {
    options_.idle_timeout = quirks_.cuts_silent_capture_after = 3s;
    options_.heartbeat_interval = 1s;
    quirks_.repeats_after_resume = options_.resume_at == memory::ResumeAt::kOldestOpenTransaction;
    transaction([](memory::MemoryTransaction& made) {
      made.create_table(suite_shape({"information_schema", "tables"}, model::RowIdentity::kNone));
    });
  }

  const SourceQuirks& quirks() const override { return quirks_; }
  std::unique_ptr<connector::Source> open() override {
    return std::make_unique<memory::MemorySource>(database_, faults_, options_);
  }
  std::unique_ptr<connector::Source> open_unreachable() override {
    database_.set_reachable(false);
    return open();
  }
  std::unique_ptr<SourceSession> session() override { return std::make_unique<MemorySession>(database_); }
  model::TableName name(const std::string& table) const override { return {"suite", table}; }
  void create_view(const model::TableName& view, const model::TableName&) override {
    transaction([&](memory::MemoryTransaction& made) {
      made.create_table(suite_shape(view, model::RowIdentity::kNone), connector::TableKind::kView);
    });
  }
  bool create_partitioned(const model::TableName& parent, const model::TableName& leaf) override {
    transaction([&](memory::MemoryTransaction& made) {
      made.create_table(suite_shape(parent, model::RowIdentity::kKey));
      made.create_table(suite_shape(leaf, model::RowIdentity::kKey));
    });
    database_.mark_as_partitioned(parent);
    return true;
  }
  std::vector<std::string> capture_things() override { return database_.slots(); }
  std::optional<bool> acknowledged(const std::string& task_name,
                                   const model::StreamPosition& position) override {
    auto slot = database_.find_slot(task_name);
    return slot && slot->confirmed >= memory::log_number(position);
  }
  bool lose_log(const std::string&) override {
    database_.lose_log();
    return true;
  }
  bool drop_connections() override {
    database_.drop_connections();
    return true;
  }
  void pass_time(std::chrono::milliseconds duration) override { clock_.advance(duration); }

 private:
  void transaction(const std::function<void(memory::MemoryTransaction&)>& statements) {
    auto made = database_.begin();
    statements(*made);
    made->commit();
  }

  SourceQuirks quirks_;
  memory::MemorySourceOptions options_;
  base::ManualClock clock_{1700000000000000};
  memory::MemoryDatabase database_{"memory database 1", clock_};
  memory::Faults faults_;
};

SourceCase source_case(std::string name, memory::MemorySourceOptions options) {
  return {std::move(name), [options] { return std::make_unique<MemorySourceFixture>(options); }};
}

INSTANTIATE_TEST_SUITE_P(Memory, SourceConformance,
                         testing::Values(source_case("CommitOrder", {.slices = 3}),
                                         source_case("LogOrder", {.order = memory::CaptureOrder::kLogOrder}),
                                         source_case("LogOrderFromTheOldestOpen",
                                                     {.order = memory::CaptureOrder::kLogOrder,
                                                      .resume_at = memory::ResumeAt::kOldestOpenTransaction}),
                                         source_case("WaitsForOpenTransactions",
                                                     {.slices = 2, .prepare_waits = true})),
                         [](const auto& each) { return each.param.name; });

// ---- the target

class MemoryTargetFixture : public TargetFixture {
 public:
  explicit MemoryTargetFixture(memory::MemoryTargetOptions options) : options_(std::move(options)) {
    options_.refused = {"a name it refuses"};
    quirks_.durable_within = options_.interval;
  }

  const TargetQuirks& quirks() const override { return quirks_; }
  std::unique_ptr<connector::Target> open() override {
    return std::make_unique<memory::MemoryTarget>(storage_, connector::TargetContext{journal_, clock_, {}},
                                                  faults_, options_);
  }
  std::vector<SuiteRow> rows(const model::TableName& table) override {
    std::vector<SuiteRow> read;
    for (const memory::Row& row : storage_.rows(table)) read.push_back(suite_row_of(row));
    std::ranges::sort(read);
    return read;
  }
  std::vector<std::string> columns(const model::TableName& table) override { return storage_.columns(table); }
  std::string fingerprint() override {
    std::string text = storage_.fingerprint();
    for (const char* table : {"orders", "lines"}) {
      for (const auto& object : journal_.objects({"suite", table})) {
        text += object.key + (object.done ? " done\n" : " intended\n");
      }
    }
    return text;
  }
  std::size_t half_written(const model::TableName& table) override { return storage_.half_written(table); }
  void put_foreign(const model::TableVersionPtr& table) override {
    if (options_.form == memory::TargetForm::kTables) {
      storage_.put_foreign_table(table, memory_row({-1, "foreign"}, table->columns.size()));
    } else {
      storage_.put_foreign_object(foreign_key(table->name));
    }
  }
  bool has_foreign(const model::TableName& table) override {
    if (options_.form == memory::TargetForm::kObjects) return storage_.has_object(foreign_key(table));
    return std::ranges::any_of(rows(table), [](const SuiteRow& row) { return row.id == -1; });
  }
  bool put_other_form(const model::TableName& table) override {
    if (options_.form == memory::TargetForm::kTables) return false;
    storage_.put_foreign_object(other_key(table));
    return true;
  }
  bool has_other_form(const model::TableName& table) override {
    return storage_.has_object(other_key(table));
  }
  std::optional<std::string> refused_name() override { return *options_.refused.begin(); }
  void pass_time(std::chrono::milliseconds duration) override { clock_.advance(duration); }

 private:
  static std::string foreign_key(const model::TableName& table) {
    return memory::MemoryStorage::folder_of(table) + "foreign.rows";
  }
  static std::string other_key(const model::TableName& table) {
    return memory::MemoryStorage::folder_of(table) + "read me.txt";
  }

  TargetQuirks quirks_;
  memory::MemoryTargetOptions options_;
  base::ManualClock clock_{1700000000000000};
  memory::MemoryStorage storage_;
  memory::MemoryJournal journal_;
  memory::Faults faults_;
};

TargetCase target_case(std::string name, memory::MemoryTargetOptions options) {
  return {std::move(name), [options] { return std::make_unique<MemoryTargetFixture>(options); }};
}

INSTANTIATE_TEST_SUITE_P(
    Memory, TargetConformance,
    testing::Values(
        target_case("Tables", {.form = memory::TargetForm::kTables}),
        target_case("TablesAtOnce", {.form = memory::TargetForm::kTables, .transactions_max = 1}),
        target_case("Objects", {.form = memory::TargetForm::kObjects}),
        target_case("LargeObjects", {.form = memory::TargetForm::kObjects, .object_rows_max = 1000000}),
        target_case("SmallObjects", {.form = memory::TargetForm::kObjects, .object_rows_max = 3})),
    [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace ferry::conformance
