#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "connector/connector.h"
#include "connectors/s3/object_store.h"
#include "connectors/s3/settings.h"

namespace ferry::s3 {

// The table under which the journal keeps objects with the transactions of all tables. No table has the name.
inline const model::TableName kAllTables{};

// What the roles of one S3 target share. Thread-safe; lives as long as any role.
class SharedTarget {
 public:
  SharedTarget(S3TargetSettings settings, std::unique_ptr<ObjectStore> store,
               const connector::TargetContext& context)
      : settings_(std::move(settings)),
        store_(std::move(store)),
        journal_(context.journal),
        clock_(context.clock),
        tags_(context.tags) {}

  const S3TargetSettings& settings() const { return settings_; }
  ObjectStore& store() { return *store_; }
  connector::TargetJournal& journal() { return journal_; }
  base::Clock& clock() { return clock_; }
  std::vector<model::ObjectTag> tags(const model::TableName& table) const {
    return tags_ ? tags_(table) : std::vector<model::ObjectTag>();
  }

  // The key of the next LOAD object of one load of a table; slices share the numbering. It goes on behind
  // what earlier loads of this task have there, from 1 where nothing is. Throws Error(kTargetForeignObjects)
  // when an object that this task did not write has the key.
  std::string next_load_key(const model::TableName& table, std::uint64_t load_epoch);
  // The first of those keys, without taking it. Throws the same.
  std::string first_load_key(const model::TableName& table);

  // Publishes a staged object under the rule of file intents: the record is durable before the object is, and
  // `done` after it.
  void publish(StagedObject& object, const connector::ObjectRecord& record);
  // Removes an object that the journal lists. The caller has the journal forget it afterwards: after a crash
  // in between it is removed once more, which changes nothing.
  void remove(const std::string& key);

 private:
  const S3TargetSettings settings_;
  const std::unique_ptr<ObjectStore> store_;
  connector::TargetJournal& journal_;
  base::Clock& clock_;
  const std::function<std::vector<model::ObjectTag>(const model::TableName&)> tags_;
  struct LoadNames {
    std::uint32_t last_number = 0;
    std::set<std::string> foreign;  // Keys that this task did not write.
  };
  LoadNames load_names(const model::TableName& table);
  std::string load_key(const model::TableName& table, const LoadNames& names) const;

  std::mutex mutex_;  // Guards load_names_.
  std::map<std::pair<model::TableName, std::uint64_t>, LoadNames> load_names_;
};

std::unique_ptr<connector::TargetTables> make_tables(std::shared_ptr<SharedTarget> target);
std::unique_ptr<connector::TargetLoad> make_load(std::shared_ptr<SharedTarget> target,
                                                 const connector::LoadRequest& request);
std::unique_ptr<connector::TargetApply> make_apply(std::shared_ptr<SharedTarget> target,
                                                   const connector::ApplyRequest& request);
// For settings that preserve transactions.
std::unique_ptr<connector::TargetApply> make_transactions_apply(std::shared_ptr<SharedTarget> target,
                                                                const connector::ApplyRequest& request);

}  // namespace ferry::s3
