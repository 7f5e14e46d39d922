#include "connectors/s3/target.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/failpoint.h"
#include "connectors/s3/object_names.h"

namespace ferry::s3 {

SharedTarget::LoadNames SharedTarget::load_names(const model::TableName& table) {
  LoadNames names;
  for (std::string& key : store_->list(table_prefix(settings_.folder, table)))
    names.foreign.insert(std::move(key));
  for (const connector::ObjectRecord& object : journal_.objects(table)) {
    names.last_number = std::max(names.last_number, number_of_load_name(name_of(object.key)).value_or(0));
    names.foreign.erase(object.key);
  }
  return names;
}

std::string SharedTarget::load_key(const model::TableName& table, const LoadNames& names) const {
  std::string key =
      table_prefix(settings_.folder, table) + load_name(names.last_number + 1, settings_.extension());
  if (!names.foreign.contains(key)) return key;
  throw base::Error(
      base::ErrorKind::kTargetForeignObjects,
      {.message = fmt::format("the load of {} would overwrite {}, which this task did not write",
                              model::to_string(table), key),
       .remedy = "Move it away, name another folder, or remove it with --overwrite."});
}

std::string SharedTarget::next_load_key(const model::TableName& table, std::uint64_t load_epoch) {
  std::lock_guard lock(mutex_);
  auto [names, is_new] = load_names_.try_emplace({table, load_epoch});
  if (is_new) names->second = load_names(table);
  std::string key = load_key(table, names->second);
  ++names->second.last_number;
  return key;
}

std::string SharedTarget::first_load_key(const model::TableName& table) {
  return load_key(table, load_names(table));
}

void SharedTarget::publish(StagedObject& object, const connector::ObjectRecord& record) {
  base::failpoint("before_object_intent");
  journal_.intend(record);
  base::failpoint("after_object_intent");
  base::failpoint("before_object_publish");
  object.publish(record.key);
  base::failpoint("after_object_publish");
  base::failpoint("before_object_done");
  journal_.done(record.table, record.key);
  base::failpoint("after_object_done");
}

void SharedTarget::remove(const std::string& key) {
  base::failpoint("before_object_removal");
  store_->remove(key);
  base::failpoint("after_object_removal");
}

}  // namespace ferry::s3
