#include "tests/conformance/source_conformance.h"

#include <algorithm>
#include <future>

namespace ferry::conformance {
namespace {

constexpr std::chrono::milliseconds kStopWithin{1000};
// Long enough to say that a call blocks.
constexpr std::chrono::milliseconds kBlocksFor{200};

void run_to_stop(const std::function<void(std::stop_token)>& call, std::stop_token stop) {
  auto error = error_of([&] { call(stop); });
  EXPECT_TRUE(!error || *error == base::ErrorKind::kStopped) << base::facts_of(*error).code;
}

}  // namespace

std::optional<std::string> SuiteNotes::get(std::string_view name) const {
  std::lock_guard lock(mutex_);
  auto found = notes_.find(name);
  return found == notes_.end() ? std::nullopt : std::optional(found->second);
}

void SuiteNotes::set(std::string_view name, std::string_view value) {
  std::lock_guard lock(mutex_);
  notes_.insert_or_assign(std::string(name), std::string(value));
}

void SourceConformance::SetUp() {
  fixture_ = GetParam().make();
  open_again();
  table_ = fixture_->name("orders");
  create(table_);
}

void SourceConformance::open_again() {
  unload_.reset();
  source_ = fixture_->open();
  unload_ = source_->unload();
}

void SourceConformance::commit(const std::function<void(SourceSession&)>& statements) {
  auto session = fixture_->session();
  session->begin();
  statements(*session);
  session->commit();
}

void SourceConformance::create(const model::TableName& table, model::RowIdentity identity) {
  commit([&](SourceSession& session) { session.create_table(table, identity); });
}

void SourceConformance::insert(const model::TableName& table, const std::vector<SuiteRow>& rows) {
  commit([&](SourceSession& session) {
    for (const SuiteRow& row : rows) session.insert(table, row);
  });
}

std::vector<SuiteRow> SourceConformance::numbered(std::int32_t from, std::int32_t to) {
  std::vector<SuiteRow> rows;
  for (std::int32_t id = from; id < to; ++id) rows.push_back({id, "row " + std::to_string(id)});
  return rows;
}

connector::UnloadRequest SourceConformance::request(const model::TableName& table) const {
  connector::UnloadRequest made;
  made.table = table;
  made.batch_bytes_max = 1 << 20;
  made.batch_rows_max = 1000;
  made.lock_timeout = std::chrono::seconds(10);
  return made;
}

std::vector<SuiteRow> SourceConformance::read_all(connector::TableUnload& unload) {
  std::vector<SuiteRow> all;
  for (std::size_t i = 0; i < unload.slice_count(); ++i) {
    auto slice = unload.open_slice(i, {});
    while (auto batch = slice->next({})) std::ranges::copy(suite_rows(*batch), std::back_inserter(all));
  }
  std::ranges::sort(all);
  return all;
}

std::vector<SuiteRow> SourceConformance::rows(const model::TableName& table) {
  return read_all(*unloads().begin(request(table), {}));
}

connector::CaptureScope SourceConformance::scope(std::vector<model::TableName> tables) const {
  connector::CaptureScope made;
  made.task_name = kTask;
  made.tables = std::move(tables);
  made.selects = [tables = made.tables](const model::TableName& table) {
    return std::ranges::find(tables, table) != tables.end();
  };
  made.transaction_consistency_timeout = std::chrono::seconds(10);
  return made;
}

SourceConformance::Running SourceConformance::prepare_and_start(const connector::CaptureScope& wanted) {
  Running running;
  running.source = fixture_->open();
  running.capture = running.source->capture(notes_);
  running.start = running.capture->prepare(wanted, {});
  running.capture->start(running.start.position, {});
  return running;
}

SourceConformance::Running SourceConformance::resume(const connector::CaptureScope& wanted,
                                                     const connector::CaptureStart& from) {
  Running running{fixture_->open(), nullptr, from};
  running.capture = running.source->capture(notes_);
  running.capture->verify(wanted, {from.identity, from.position, {}}, {});
  running.capture->start(from.position, {});
  return running;
}

void SourceConformance::expect_stops(const std::function<void(std::stop_token)>& call) {
  std::stop_source stop;
  auto ended = std::async(std::launch::async, [&] { run_to_stop(call, stop.get_token()); });
  EXPECT_EQ(ended.wait_for(kBlocksFor), std::future_status::timeout) << "the call was to block";
  stop.request_stop();
  EXPECT_EQ(ended.wait_for(kStopWithin), std::future_status::ready) << "stop was not honoured in a second";
}

void SourceConformance::expect_stops_at_once(const std::function<void(std::stop_token)>& call) {
  std::stop_source stop;
  stop.request_stop();
  auto ended = std::async(std::launch::async, [&] { run_to_stop(call, stop.get_token()); });
  EXPECT_EQ(ended.wait_for(kStopWithin), std::future_status::ready) << "stop was not honoured in a second";
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SourceConformance);

}  // namespace ferry::conformance
