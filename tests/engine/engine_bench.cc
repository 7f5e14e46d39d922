#include "tests/engine/engine_bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace ferry::test_support {
namespace {

constexpr std::string_view kEngine = "memory";
constexpr std::chrono::milliseconds kLookInterval{5};
constexpr std::chrono::milliseconds kShortInterval{20};

Row row_of_key(std::int32_t id, std::string_view name) { return {int4_value(id), text_value(name)}; }

// In memory where that is possible: the state waits for the disk at every step, and nothing here tests the
// disk.
std::filesystem::path new_folder() {
  static std::atomic<int> made = 0;
  std::filesystem::path root = "/dev/shm";
  if (!std::filesystem::is_directory(root)) root = std::filesystem::temp_directory_path();
  return root / fmt::format("ferry-engine-{}-{}", ::getpid(), ++made);
}

}  // namespace

model::TableVersion shape_of(const model::TableName& name, model::RowIdentity identity) {
  model::TableVersion shape;
  shape.name = name;
  shape.columns.resize(2);
  shape.columns[0].name = "id";
  shape.columns[0].type.id = model::TypeId::kInt4;
  shape.columns[1].name = "name";
  shape.columns[1].type.id = model::TypeId::kWstring;
  shape.identity = identity;
  if (identity == model::RowIdentity::kKey) shape.key = {0};
  return shape;
}

void Events::note(const std::function<void(Seen&)>& change) {
  std::lock_guard lock(mutex_);
  change(seen_);
  changed_.notify_all();
}

void Events::load_finished(std::int64_t) {
  note([](Seen& seen) { seen.load_finished = true; });
}
void Events::table_failed(const model::TableName& table, std::string_view) {
  note([&](Seen& seen) { seen.failed.push_back(table); });
}
void Events::table_loaded(const model::TableName& table, std::int64_t, double) {
  note([&](Seen& seen) { seen.loaded.push_back(table); });
}
void Events::changes_started(std::string_view position) {
  note([&](Seen& seen) {
    ++seen.changes_started;
    seen.started_at = position;
  });
}
void Events::changes_applied(std::int64_t, std::int64_t, std::string_view) {
  note([](Seen&) {});
}
void Events::retrying(std::string_view, std::int64_t seconds) {
  note([&](Seen& seen) { seen.waits_s.push_back(seconds); });
}

Events::Seen Events::seen() const {
  std::lock_guard lock(mutex_);
  return seen_;
}

bool Events::wait_until(const std::function<bool()>& holds) const {
  auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kLookInterval);
  }
  return true;
}

EngineBench::EngineBench(TargetForm form) : folder_(new_folder()) {
  definition.identifier = "bench";
  definition.migration_type = model::MigrationType::kFullLoadAndCdc;
  definition.source.engine_name = kEngine;
  definition.target.engine_name = kEngine;
  definition.table_mappings = "{}";
  // Tests wait for what happens after a quiet time, so it is short.
  source_options.idle_wait_max = kShortInterval;
  task_options.gather_interval = kShortInterval;
  target_options = {.form = form, .object_rows_max = 5, .interval = std::chrono::milliseconds(0)};
}

EngineBench::~EngineBench() { std::filesystem::remove_all(folder_); }

void EngineBench::make_tables(int rows) {
  std::unique_ptr<MemoryTransaction> setup = database.begin();
  setup->create_table(shape_of(kOrders, model::RowIdentity::kKey));
  setup->create_table(shape_of(kItems, model::RowIdentity::kKey));
  setup->create_table(shape_of(kVisits, model::RowIdentity::kFullRow));
  for (int i = 0; i < rows; ++i) {
    setup->insert(kOrders, row_of_key(++next_key_, "first"));
    live_.orders.push_back(next_key_);
    setup->insert(kItems, row_of_key(++next_key_, "first"));
    live_.items.push_back(next_key_);
    setup->insert(kVisits, row_of_key(i % 3, "first"));
  }
  setup->commit();
}

void EngineBench::change(MemoryTransaction& transaction, const model::TableName& table,
                         std::vector<std::int32_t>& keys) {
  transaction.insert(table, row_of_key(++next_key_, fmt::format("made by {}", written_)));
  keys.push_back(next_key_);
  std::int32_t& chosen = keys[static_cast<std::size_t>(written_) * 7 % keys.size()];
  transaction.update(table, {int4_value(chosen)}, row_of_key(chosen, fmt::format("changed by {}", written_)));
  if (written_ % 3 == 0) {
    transaction.update(table, {int4_value(chosen)}, row_of_key(++next_key_, "moved"));
    chosen = next_key_;
  }
  if (written_ % 2 == 0) {
    transaction.remove(table, {int4_value(keys.front())});
    keys.erase(keys.begin());
  }
}

void EngineBench::write() {
  ++written_;
  std::unique_ptr<MemoryTransaction> transaction = database.begin();
  change(*transaction, kOrders, live_.orders);
  transaction->begin_subtransaction();
  transaction->insert(kOrders, row_of_key(-written_, "rolled back"));
  transaction->rollback_subtransaction();
  change(*transaction, kItems, live_.items);
  Row visit = row_of_key(written_ % 3, "again");
  transaction->insert(kVisits, visit);
  if (written_ % 4 == 0) transaction->remove(kVisits, visit);
  transaction->commit();
}

bool EngineBench::equal(const model::TableName& table) const {
  if (!database.describe(table)) return false;
  std::vector<Row> ours = database.rows(table);
  std::vector<Row> theirs = storage.rows(table);
  std::ranges::sort(ours);
  std::ranges::sort(theirs);
  return ours == theirs;
}

bool EngineBench::equal() const { return equal(kOrders) && equal(kItems) && equal(kVisits); }

std::unique_ptr<engine::TaskState> EngineBench::open_state() const {
  return engine::TaskState::open(folder_, model::definition_fingerprint(definition));
}

namespace {

connector::Registry registry_of(EngineBench& bench) {
  connector::Registry registry;
  registry.emplace(kEngine, bench.watch.around(std::make_unique<MemoryConnector>(
                                MemoryConnector::Parts{.database = &bench.database,
                                                       .storage = &bench.storage,
                                                       .faults = &bench.faults,
                                                       .source = bench.source_options,
                                                       .target = bench.target_options})));
  return registry;
}

}  // namespace

TaskRun::TaskRun(EngineBench& bench)
    : state_(bench.open_state()),
      registry_(registry_of(bench)),
      mapping_(mapping::TableMapping::select_all_of(bench.mapping_patterns)),
      task_(bench.definition, mapping_, registry_, *state_, bench.events, *bench.clock, bench.task_options) {
  bench.watch.watch_state(*state_);
  result_ = std::async(std::launch::async, [this] { return task_.run(stop_.get_token()); });
}

TaskRun::~TaskRun() {
  stop_.request_stop();
  if (result_.valid()) result_.wait();
}

bool TaskRun::ended() const {
  return !result_.valid() || result_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

engine::TaskResult TaskRun::result() { return result_.get(); }

std::optional<base::ErrorKind> TaskRun::error() {
  try {
    result();
    return std::nullopt;
  } catch (const base::Error& error) {
    return error.kind();
  }
}

}  // namespace ferry::test_support
