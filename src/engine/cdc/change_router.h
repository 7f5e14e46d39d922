#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>

#include "engine/task_context.h"
#include "model/transaction.h"

namespace ferry::engine {

// Decides for every change of the stream whether it belongs to the task, and counts those that do. A change
// of a loaded table that the table's copy already contains is left out: that is what makes load and changes
// fit exactly. Used by one thread.
class ChangeRouter {
 public:
  // Reads the tables and their marks from the state.
  explicit ChangeRouter(const TaskContext& context);

  // The transaction as the target is to see it. `transaction` and this router must outlive it.
  std::unique_ptr<model::Transaction> route(model::Transaction& transaction);

  // Stores the suspension of every table that its row errors have suspended. Called before a checkpoint moves
  // past the row, so that a restart does not go on with the table. Throws as suspend_table().
  void store_suspensions();

  const std::map<model::TableName, TableStatistics>& statistics() const { return statistics_; }
  std::int64_t rows() const { return rows_; }

 private:
  class RoutedTransaction;

  struct Table {
    bool carried = false;
    std::shared_ptr<const model::SnapshotMark> mark;  // Null once every later transaction is after the copy.
    model::TableName target;
    model::TableVersionPtr shape;   // As the stream last said it.
    std::uint64_t transaction = 0;  // The number here of the last transaction that changed the table,
    std::uint64_t changes = 0;      // and how many of its changes were passed on.
    TableStatistics* statistics = nullptr;
  };
  Table& table_of(const model::TableVersionPtr& version);
  void suspend(const model::TableName& source, Table& table);
  bool wants(const model::TransactionStamp& stamp, const model::Change& change);

  const TaskContext& context_;
  std::map<model::TableName, Table> tables_;
  // Table versions in use, so that a change finds its table without comparing names; keeps them alive.
  std::unordered_map<model::TableVersionPtr, Table*> by_version_;
  std::map<model::TableName, TableStatistics> statistics_;
  std::uint64_t transactions_ = 0;
  std::int64_t rows_ = 0;
};

}  // namespace ferry::engine
