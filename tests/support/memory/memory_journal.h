#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "connector/target_journal.h"

namespace ferry::test_support {

// A task's target journal in memory. It outlives targets, as the task's state does.
class MemoryJournal : public connector::TargetJournal {
 public:
  std::vector<connector::ObjectRecord> objects(const model::TableName& table) const override;
  std::optional<connector::ObjectRecord> last_changes(const model::TableName& table) const override;
  void intend(const connector::ObjectRecord& object) override;
  void done(const model::TableName& table, const std::string& key) override;
  void forget(const model::TableName& table, const std::string& key) override;
  void forget_load(const model::TableName& table, std::uint64_t load_epoch) override;

 private:
  struct Listed {
    std::vector<connector::ObjectRecord> objects;
    std::optional<connector::ObjectRecord>
        forgotten;  // The kChanges object with the greatest `last` among them.
  };

  mutable std::mutex mutex_;
  std::map<model::TableName, Listed> tables_;
};

}  // namespace ferry::test_support
