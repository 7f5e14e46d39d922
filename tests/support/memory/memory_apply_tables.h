#pragma once

#include <deque>

#include "tests/support/memory/memory_target.h"

namespace ferry::test_support {

// Changes into tables: accepted transactions wait and are committed together with their checkpoint.
class MemoryApplyTables : public connector::TargetApply {
 public:
  MemoryApplyTables(const MemoryTargetParts& parts, connector::ApplyRequest request)
      : parts_(parts), request_(request) {}

  std::optional<model::Checkpoint> recover(const model::Checkpoint& local) override;
  void apply(model::Transaction& transaction, const model::Checkpoint& after,
             model::RowErrorSink& errors) override;
  void advance(const model::Checkpoint& after) override;
  void tick() override;
  std::chrono::milliseconds tick_interval() const override { return std::chrono::milliseconds(100); }
  void flush() override;
  model::Checkpoint durable() const override { return durable_; }

 private:
  using Tables = std::map<model::TableName, MemoryTable>;

  // Makes one change; what is wrong with it, if anything.
  std::optional<std::string> make(Tables& tables, const RowChange& change) const;
  MemoryTable* table_to_try(const RowChange& change);
  void accept(const model::Checkpoint& after);
  void commit();

  const MemoryTargetParts& parts_;
  connector::ApplyRequest request_;
  model::Checkpoint durable_;
  std::optional<model::Checkpoint> accepted_;
  std::chrono::steady_clock::time_point accepted_since_;
  std::size_t transactions_ = 0;
  std::vector<RowChange> pending_;
  // Copies of the tables with what is pending, to find row errors while the caller still listens.
  Tables tried_;
};

}  // namespace ferry::test_support
