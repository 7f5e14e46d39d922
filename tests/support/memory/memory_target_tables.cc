#include "tests/support/memory/memory_target_tables.h"

#include <algorithm>

namespace ferry::test_support {
namespace {

using connector::ForeignObjects;
using connector::ObjectPhase;
using connector::ObjectRecord;
using connector::PrepMode;

// A table in the journal is an object of no load: their epochs begin with 1.
constexpr std::uint64_t kTableEpoch = 0;
std::string table_key(const model::TableName& table) { return "table " + to_string(table); }

bool lists(const std::vector<ObjectRecord>& objects, const std::string& key) {
  return std::ranges::find(objects, key, &ObjectRecord::key) != objects.end();
}

}  // namespace

std::vector<std::string> MemoryTargetTables::foreign(const model::TableName& table) const {
  auto listed = parts_.journal.objects(table);
  if (parts_.options.form == TargetForm::kTables) {
    bool is_foreign = parts_.storage.has_table(table) && !lists(listed, table_key(table));
    return is_foreign ? std::vector{table_key(table)} : std::vector<std::string>();
  }
  auto keys = parts_.storage.keys(MemoryStorage::folder_of(table));
  std::erase_if(keys, [&](const std::string& key) {
    return !key.ends_with(MemoryStorage::kOwnForm) || lists(listed, key);
  });
  return keys;
}

void MemoryTargetTables::refuse_foreign(const connector::PrepareRequest& request) const {
  // Whatever a test calls foreign stands for what a load makes.
  if (request.foreign != ForeignObjects::kRefuse || request.changes_only) return;
  auto found = foreign(request.table->name);
  if (found.empty()) return;
  throw base::Error(base::ErrorKind::kTargetForeignObjects,
                    {.message = "this task did not make " + found.front(),
                     .remedy = "Remove it, or set TargetTablePrepMode to DO_NOTHING."});
}

void MemoryTargetTables::check(const connector::PrepareRequest& request) {
  parts_.faults.run("tables.check", {}, [&] { refuse_foreign(request); });
}

void MemoryTargetTables::prepare(const connector::PrepareRequest& request) {
  parts_.faults.run("tables.prepare", {}, [&] {
    refuse_foreign(request);
    if (parts_.options.form == TargetForm::kTables) return prepare_table(request);
    prepare_objects(request);
  });
}

void MemoryTargetTables::prepare_table(const connector::PrepareRequest& request) {
  const model::TableName& name = request.table->name;
  if (!foreign(name).empty()) {
    if (request.foreign == ForeignObjects::kKeep) {
      if (request.mode != PrepMode::kDoNothing) parts_.storage.remove_load(name, std::nullopt);
      return;
    }
    parts_.storage.drop_table(name);
  }
  if (request.mode == PrepMode::kDropAndCreate) parts_.storage.drop_table(name);
  if (request.mode == PrepMode::kTruncateBeforeLoad) parts_.storage.clear_table(name);
  ObjectRecord intent;
  intent.table = name;
  intent.load_epoch = kTableEpoch;
  intent.key = table_key(name);
  parts_.journal.intend(intent);
  parts_.storage.put_table(request.table);
  parts_.journal.done(name, table_key(name));
}

void MemoryTargetTables::prepare_objects(const connector::PrepareRequest& request) {
  const model::TableName& name = request.table->name;
  if (request.foreign == ForeignObjects::kRemove) {
    for (const std::string& key : foreign(name)) parts_.storage.remove_object(key);
  }
  if (request.mode == PrepMode::kDoNothing) return;
  for (const ObjectRecord& object : parts_.journal.objects(name)) {
    parts_.storage.remove_object(object.key);
    parts_.journal.forget(name, object.key);
  }
}

void MemoryTargetTables::sweep(const model::TableName& table) {
  parts_.faults.run("tables.sweep", {}, [&] {
    if (parts_.options.form == TargetForm::kTables) return parts_.storage.drop_staged(table, std::nullopt);
    for (const ObjectRecord& object : parts_.journal.objects(table)) {
      if (object.done || parts_.storage.has_complete_object(object.key)) continue;
      parts_.storage.remove_object(object.key);
      // The intent of changes stays: the same rows go into the same object again.
      if (object.phase == ObjectPhase::kLoad) parts_.journal.forget(table, object.key);
    }
  });
}

void MemoryTargetTables::discard_load(const model::TableName& table, std::uint64_t load_epoch) {
  parts_.faults.run("tables.discard_load", {}, [&] {
    if (parts_.options.form == TargetForm::kTables) {
      parts_.storage.drop_staged(table, load_epoch);
      parts_.storage.remove_load(table, load_epoch);
      return;
    }
    for (const ObjectRecord& object : parts_.journal.objects(table)) {
      bool unfinished = object.phase == ObjectPhase::kLoad && object.load_epoch == load_epoch;
      if (unfinished) parts_.storage.remove_object(object.key);
    }
    parts_.journal.forget_load(table, load_epoch);
  });
}

void MemoryTargetTables::discard_changes(const model::TableName& table, const model::StreamPosition& commit) {
  parts_.faults.run("tables.discard_changes", {}, [&] {
    for (const ObjectRecord& object : parts_.journal.objects(table)) {
      if (object.phase != ObjectPhase::kChanges || object.first.commit != commit) continue;
      parts_.storage.remove_object(object.key);
      // An intent that nobody will fulfil any more.
      parts_.journal.done(table, object.key);
      parts_.journal.forget(table, object.key);
    }
  });
}

}  // namespace ferry::test_support
