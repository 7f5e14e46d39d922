#include "tests/support/memory/memory_storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace ferry::test_support {
namespace {

void must_fit(const std::optional<std::string>& wrong, const model::TableName& table) {
  if (wrong) throw std::logic_error("the objects of " + to_string(table) + " do not fit: " + *wrong);
}

}  // namespace

std::optional<MemoryTable> MemoryStorage::replay(const model::TableName& table) const {
  std::vector<const ObjectRow*> loads;
  std::vector<const ObjectRow*> changes;
  for (const auto& [key, object] : objects_) {
    if (!key.starts_with(folder_of(table)) || !object.complete) continue;
    auto& rows = object.phase == connector::ObjectPhase::kLoad ? loads : changes;
    for (const ObjectRow& row : object.rows) rows.push_back(&row);
  }
  std::ranges::sort(changes, {}, [](const ObjectRow* row) { return row->point; });
  std::optional<MemoryTable> replayed;
  auto shaped_as = [&](const ObjectRow& row) -> MemoryTable& {
    if (!replayed) replayed.emplace(row.change.table);
    if (replayed->shape() != row.change.table) replayed->set_shape(row.change.table);
    return *replayed;
  };
  for (const ObjectRow* row : loads)
    must_fit(shaped_as(*row).insert(*row->change.table, row->change.after, 1), table);
  for (const ObjectRow* row : changes) must_fit(shaped_as(*row).apply(row->change), table);
  return replayed;
}

std::vector<Row> MemoryStorage::rows(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  if (found != tables_.end()) return found->second.rows();
  auto replayed = replay(table);
  return replayed ? replayed->rows() : std::vector<Row>();
}

std::vector<std::string> MemoryStorage::columns(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  auto read = found != tables_.end() ? std::optional(found->second) : replay(table);
  std::vector<std::string> names;
  if (!read) return names;
  for (const model::Column& column : read->shape()->columns) names.push_back(column.name);
  return names;
}

std::size_t MemoryStorage::half_written(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto staged = std::ranges::count_if(staged_, [&](const auto& entry) { return entry.first.table == table; });
  auto objects = std::ranges::count_if(objects_, [&](const auto& entry) {
    return entry.first.starts_with(folder_of(table)) && !entry.second.complete;
  });
  return static_cast<std::size_t>(staged + objects);
}

std::string MemoryStorage::fingerprint() const {
  std::lock_guard lock(mutex_);
  std::string text;
  auto add_row = [&](const Row& row) {
    for (const Value& value : row) text += value.bytes + '|';
    text += '\n';
  };
  for (const auto& [name, table] : tables_) {
    text += to_string(name) + "\n";
    for (const Row& row : table.rows()) add_row(row);
  }
  for (const auto& [load, rows] : staged_) {
    text += fmt::format("staged {} {} {}: {}\n", to_string(load.table), load.epoch, load.slice, rows.size());
  }
  for (const auto& [key, object] : objects_) {
    text += fmt::format("{} {}\n", key, object.complete ? "complete" : "incomplete");
    for (const ObjectRow& row : object.rows) add_row(row.change.after);
  }
  if (checkpoint_) text += "checkpoint " + checkpoint_->applied_through.text() + "\n";
  return text;
}

void MemoryStorage::put_foreign_table(const model::TableVersionPtr& shape, Row row) {
  std::lock_guard lock(mutex_);
  auto [table, made] = tables_.try_emplace(shape->name, shape);
  table->second.insert(*shape, row, MemoryTable::kForeign);
}

void MemoryStorage::put_foreign_object(const std::string& key) {
  put_object(key, {.complete = true, .foreign = true});
}

bool MemoryStorage::has_table(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  return tables_.contains(table);
}

void MemoryStorage::put_table(const model::TableVersionPtr& shape) {
  std::lock_guard lock(mutex_);
  tables_.try_emplace(shape->name, shape);
}

void MemoryStorage::drop_table(const model::TableName& table) {
  std::lock_guard lock(mutex_);
  tables_.erase(table);
}

void MemoryStorage::clear_table(const model::TableName& table) {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  if (found != tables_.end()) found->second.clear();
}

void MemoryStorage::remove_load(const model::TableName& table, std::optional<std::uint64_t> load_epoch) {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  if (found != tables_.end()) found->second.remove_load(load_epoch);
}

std::optional<MemoryTable> MemoryStorage::copy_of(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  return found == tables_.end() ? std::nullopt : std::optional(found->second);
}

void MemoryStorage::stage(const LoadId& load, std::vector<Row> rows) {
  std::lock_guard lock(mutex_);
  auto& staged = staged_[load];
  std::ranges::move(rows, std::back_inserter(staged));
}

std::vector<Row> MemoryStorage::publish(const LoadId& load, const model::TableVersion& shape) {
  std::lock_guard lock(mutex_);
  auto staged = staged_.extract(load);
  auto table = tables_.try_emplace(load.table, std::make_shared<model::TableVersion>(shape)).first;
  std::vector<Row> refused;
  if (staged.empty()) return refused;
  for (const Row& row : staged.mapped()) {
    if (table->second.insert(shape, row, load.epoch)) refused.push_back(row);
  }
  return refused;
}

void MemoryStorage::drop_staged(const model::TableName& table, std::optional<std::uint64_t> load_epoch) {
  std::lock_guard lock(mutex_);
  std::erase_if(staged_, [&](const auto& entry) {
    return entry.first.table == table && entry.first.epoch == load_epoch.value_or(entry.first.epoch);
  });
}

void MemoryStorage::commit(const model::Checkpoint& checkpoint,
                           const std::function<void(std::map<model::TableName, MemoryTable>&)>& change) {
  std::lock_guard lock(mutex_);
  change(tables_);
  checkpoint_ = checkpoint;
}

std::optional<model::Checkpoint> MemoryStorage::checkpoint() const {
  std::lock_guard lock(mutex_);
  return checkpoint_;
}

void MemoryStorage::put_object(const std::string& key, Object object) {
  std::lock_guard lock(mutex_);
  objects_.insert_or_assign(key, std::move(object));
}

void MemoryStorage::complete_object(const std::string& key) {
  std::lock_guard lock(mutex_);
  objects_.at(key).complete = true;
}

bool MemoryStorage::has_complete_object(const std::string& key) const {
  std::lock_guard lock(mutex_);
  auto found = objects_.find(key);
  return found != objects_.end() && found->second.complete;
}

bool MemoryStorage::has_object(const std::string& key) const {
  std::lock_guard lock(mutex_);
  return objects_.contains(key);
}

void MemoryStorage::remove_object(const std::string& key) {
  std::lock_guard lock(mutex_);
  objects_.erase(key);
}

std::vector<std::string> MemoryStorage::keys(const std::string& prefix) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> found;
  for (auto at = objects_.lower_bound(prefix); at != objects_.end() && at->first.starts_with(prefix); ++at) {
    found.push_back(at->first);
  }
  return found;
}

}  // namespace ferry::test_support
