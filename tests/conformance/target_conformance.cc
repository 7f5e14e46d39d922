#include "tests/conformance/target_conformance.h"

namespace ferry::conformance {

using model::ChangeKind;

void TargetConformance::SetUp() {
  fixture_ = GetParam().make();
  target_ = fixture_->open();
  keyed_ = shape("orders", model::RowIdentity::kKey);
  full_row_ = shape("lines", model::RowIdentity::kFullRow);
}

model::TableVersionPtr TargetConformance::shape(const std::string& table, model::RowIdentity identity,
                                                const std::vector<std::string>& more_columns) {
  auto made = std::make_shared<model::TableVersion>();
  made->name = {"suite", table};
  made->source_table = 1000 + std::hash<std::string>()(table) % 1000;
  model::LogicalType text{.id = model::TypeId::kWstring, .length = 200, .precision = 0, .scale = 0};
  model::LogicalType integer{.id = model::TypeId::kInt4, .length = 0, .precision = 0, .scale = 0};
  made->columns.push_back({std::string(kIdColumn), integer, false, 1, "integer"});
  made->columns.push_back({std::string(kNameColumn), text, true, 2, "text"});
  for (const std::string& name : more_columns) {
    made->columns.push_back({name, text, true, static_cast<std::int32_t>(made->columns.size() + 1), "text"});
  }
  made->identity = identity;
  if (identity == model::RowIdentity::kKey) made->key = {0};
  return made;
}

connector::PrepareRequest TargetConformance::prepare_request(const model::TableVersionPtr& table,
                                                             connector::PrepMode mode,
                                                             connector::ForeignObjects foreign) {
  return {table, mode, foreign};
}

void TargetConformance::prepare(const model::TableVersionPtr& table, connector::PrepMode mode,
                                connector::ForeignObjects foreign) {
  target_->tables()->prepare(prepare_request(table, mode, foreign));
}

std::vector<SuiteRow> TargetConformance::numbered(std::int32_t from, std::int32_t to) {
  std::vector<SuiteRow> rows;
  for (std::int32_t id = from; id < to; ++id) rows.push_back({id, "row " + std::to_string(id)});
  return rows;
}

connector::LoadRequest TargetConformance::load_request(const model::TableVersionPtr& table,
                                                       std::uint64_t epoch) {
  connector::LoadRequest request;
  request.table = table;
  request.load_epoch = epoch;
  request.memory_bytes_max = 64 << 20;
  request.task_start_time = 1700000000000000;
  return request;
}

std::int64_t TargetConformance::load(const model::TableVersionPtr& table, std::uint64_t epoch,
                                     const std::vector<SuiteRow>& rows) {
  auto loading = target_->load(load_request(table, epoch));
  if (!rows.empty()) loading->write(batch_of(table, rows), errors_);
  return loading->finish();
}

ScriptedChange TargetConformance::insert(const model::TableVersionPtr& table, SuiteRow row) {
  return {ChangeKind::kInsert, table, std::nullopt, std::move(row)};
}

ScriptedChange TargetConformance::update(const model::TableVersionPtr& table, SuiteRow before,
                                         SuiteRow after) {
  bool names_old = table->identity != model::RowIdentity::kKey || before.id != after.id;
  return {ChangeKind::kUpdate, table, names_old ? std::optional(std::move(before)) : std::nullopt,
          std::move(after)};
}

ScriptedChange TargetConformance::remove(const model::TableVersionPtr& table, SuiteRow before) {
  return {ChangeKind::kDelete, table, std::move(before), std::nullopt};
}

ScriptedChange TargetConformance::of_table(ChangeKind kind, const model::TableVersionPtr& table) {
  return {kind, table, std::nullopt, std::nullopt};
}

std::unique_ptr<connector::TargetApply> TargetConformance::start_apply(
    const connector::ApplyRequest& request) {
  connector::ApplyRequest wanted = request;
  if (wanted.memory_bytes_max == 0) wanted.memory_bytes_max = 64 << 20;
  auto role = target_->apply(wanted);
  role->recover(suite_checkpoint(0));
  return role;
}

void TargetConformance::apply(connector::TargetApply& role, std::uint64_t number, const Script& script) {
  ScriptedTransaction transaction(number, script);
  role.apply(transaction, suite_checkpoint(number), errors_);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TargetConformance);

}  // namespace ferry::conformance
