#include "tests/support/memory/memory_journal.h"

#include <algorithm>

namespace ferry::test_support {

using connector::ObjectPhase;
using connector::ObjectRecord;

std::vector<ObjectRecord> MemoryJournal::objects(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  return found == tables_.end() ? std::vector<ObjectRecord>() : found->second.objects;
}

std::optional<ObjectRecord> MemoryJournal::last_changes(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto found = tables_.find(table);
  if (found == tables_.end()) return std::nullopt;
  std::optional<ObjectRecord> last = found->second.forgotten;
  for (const ObjectRecord& object : found->second.objects) {
    if (object.phase == ObjectPhase::kChanges && (!last || object.last > last->last)) last = object;
  }
  return last;
}

void MemoryJournal::intend(const ObjectRecord& object) {
  std::lock_guard lock(mutex_);
  auto& objects = tables_[object.table].objects;
  std::erase_if(objects, [&](const ObjectRecord& listed) { return listed.key == object.key; });
  objects.push_back(object);
}

void MemoryJournal::done(const model::TableName& table, const std::string& key) {
  std::lock_guard lock(mutex_);
  for (ObjectRecord& object : tables_[table].objects) {
    if (object.key == key) object.done = true;
  }
}

void MemoryJournal::forget(const model::TableName& table, const std::string& key) {
  std::lock_guard lock(mutex_);
  Listed& listed = tables_[table];
  auto found = std::ranges::find(listed.objects, key, &ObjectRecord::key);
  if (found == listed.objects.end()) return;
  bool is_last =
      found->phase == ObjectPhase::kChanges && (!listed.forgotten || found->last > listed.forgotten->last);
  if (is_last) listed.forgotten = *found;
  listed.objects.erase(found);
}

void MemoryJournal::forget_load(const model::TableName& table, std::uint64_t load_epoch) {
  std::lock_guard lock(mutex_);
  std::erase_if(tables_[table].objects, [&](const ObjectRecord& object) {
    return object.phase == ObjectPhase::kLoad && object.load_epoch == load_epoch;
  });
}

}  // namespace ferry::test_support
