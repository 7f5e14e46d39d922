#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/task_context.h"
#include "model/checkpoint.h"
#include "model/transaction.h"

namespace ferry::engine {

// Decides for every change of the stream whether it belongs to the task, and counts those that do. A change
// of a loaded table that the table's copy already contains is left out: that is what makes load and changes
// fit exactly.
//
// It also notices tables that appear, change their names or go. A table that appears is queued in the state,
// and its changes are left out: its copy, which is taken when the stream pauses, holds them. A table is known
// by its number and name, so each change goes where the table's name of its time says, also when it comes
// again after a restart. Of the entries of one number, and of those of one name, only the one that has both
// at the checkpoint keeps a last shape (known_shapes()). Used by one thread.
class ChangeRouter {
 public:
  // Reads the tables, their marks and counts from the state.
  explicit ChangeRouter(const TaskContext& context);

  // The transaction as the target is to see it. `transaction` and this router must outlive it.
  std::unique_ptr<model::Transaction> route(model::Transaction& transaction);

  // What is to be stored with the checkpoint `durable`, while everything up to `accepted` has been routed.
  // Stores the suspension of every table that its row errors have suspended, so that a restart behind the row
  // does not go on with the table. Throws as suspend_table().
  ChangeProgress progress(const model::Checkpoint& durable, const model::Checkpoint& accepted);

  // The stream is to pause, because the rows of a queued table can be copied now.
  bool wants_pause(std::chrono::steady_clock::time_point now, const model::Checkpoint& stored) const;
  // They could if everything accepted were durable.
  bool wants_flush(const model::Checkpoint& accepted, const model::Checkpoint& stored) const;

  std::int64_t rows() const { return rows_; }

 private:
  class RoutedTransaction;

  // The changes of one transaction that one target table gets, counted as the target does
  // (connector::ChangePoint).
  struct Ordinals {
    std::uint64_t transaction = 0;  // transactions_ when it was last used.
    std::uint64_t changes = 0;
  };
  struct Table {
    TableState state;
    bool carried = false;
    bool waits = false;                               // For its copy.
    bool suspended = false;                           // As of suspensions_.
    bool left = false;                                // Has a name now that is not selected.
    bool holds_name = false;                          // The stream said last that the name is the table's.
    std::shared_ptr<const model::SnapshotMark> mark;  // Null once every later transaction is after the copy.
    model::TableVersionPtr shape;                     // As the stream last said it; null where not known.
    std::uint64_t skipped_in = 0;  // transactions_ when a change was last left out for the copy.
    Ordinals* ordinals = nullptr;
    ChangeCounts* counts = nullptr;
  };
  using Key = std::pair<std::uint64_t, model::TableName>;

  Table& add(TableState state);
  Table& table_of(const model::TransactionStamp& stamp, const model::Change& change);
  Table& find_or_make(const model::TransactionStamp& stamp, const model::TableVersion& version);
  Table& appear(const model::TransactionStamp& stamp, const model::TableVersion& version);
  Table& follow(const Table& known, const model::TableVersion& version);
  Table* only_table_of(const model::TableName& name);
  void leave(const model::TransactionStamp& stamp, const model::TableVersion& version);
  void skip(const model::TransactionStamp& stamp, Table& table);
  void take_shape(const model::TransactionStamp& stamp, Table& table, const model::TableVersionPtr& shape);
  void store(const TableState& state);
  void drop(const model::TransactionStamp& stamp, Table& table);
  void keep_shape(Table& table, const model::TableVersionPtr& shape, std::vector<TableState>& stored);
  void look_for_suspensions();
  void suspend(Table& table);
  void store_suspensions();
  ChangeCounts& counts_of(const Table& table) { return is_counted_ ? counted_again_ : *table.counts; }
  bool wants(const model::TransactionStamp& stamp, const model::Change& change);
  void count_last();

  const TaskContext& context_;
  const bool keeps_shapes_;
  std::map<Key, Table> tables_;
  std::map<model::TableName, Ordinals> ordinals_;  // By target.
  // Table versions in use, so that a change finds its table without comparing names; keeps them alive.
  std::unordered_map<model::TableVersionPtr, Table*> by_version_;
  Table ignored_;
  std::vector<Table*> waiting_;
  // By source.
  std::map<model::TableName, ChangeCounts> counts_;
  std::map<model::TableName, ChangeCounts> stored_counts_;
  model::StreamPosition
      counted_through_;         // What the counts held at the start of the stream, or when stored last.
  bool is_counted_ = false;     // Of the transaction in hand: it comes again.
  ChangeCounts counted_again_;  // What nobody asks for.
  // What is stored with a checkpoint that has come to the position, so that changes that come again find the
  // state as it was.
  struct SaidShape {
    Table* table;
    model::TableVersionPtr shape;  // Null where the table is gone.
    model::StreamPosition position;
  };
  std::vector<SaidShape> said_shapes_;
  std::vector<std::pair<Table*, model::StreamPosition>> leaving_;
  std::optional<std::chrono::steady_clock::time_point> noticed_at_;  // The first of waiting_ in this stream.
  std::uint64_t suspensions_ = 0;  // RowErrorLog::suspensions() when it was asked about each table.
  std::uint64_t transactions_ = 0;
  bool row_in_hand_ = false;  // The target has a row change in hand that is not in rows_.
  std::int64_t rows_ = 0;
};

}  // namespace ferry::engine
