#pragma once

#include "tests/support/memory/memory_target.h"

namespace ferry::test_support {

class MemoryTargetTables : public connector::TargetTables {
 public:
  explicit MemoryTargetTables(const MemoryTargetParts& parts) : parts_(parts) {}

  void check(const connector::PrepareRequest& request) override;
  void prepare(const connector::PrepareRequest& request) override;
  void sweep(const model::TableName& table) override;
  void discard_load(const model::TableName& table, std::uint64_t load_epoch) override;
  void discard_changes(const model::TableName& table, const model::StreamPosition& commit) override;

 private:
  // Own things of the target's form that the journal does not list, by key.
  std::vector<std::string> foreign(const model::TableName& table) const;
  void refuse_foreign(const connector::PrepareRequest& request) const;
  void prepare_table(const connector::PrepareRequest& request);
  void prepare_objects(const connector::PrepareRequest& request);

  const MemoryTargetParts& parts_;
};

}  // namespace ferry::test_support
