#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot_mark.h"
#include "model/table_version.h"

namespace ferry::model {

// What one entry of a source's log says. Begin to heartbeat frame transactions; the others change rows or
// tables.
enum class ChangeKind : std::uint8_t {
  kInsert,
  kUpdate,
  kDelete,
  kTruncate,
  kSchemaChange,  // The table's shape is `table` from here on (its name may have changed, or it is new).
  kDrop,          // The table is gone.
  kBegin,
  kCommit,     // Carries the TransactionStamp.
  kRollback,   // All of the transaction, or of the subtransaction named by `subtransaction`; each nested one
               // has its own.
  kHeartbeat,  // Nothing happened up to the stamp's resume position.
};

enum class CellState : std::uint8_t {
  kNull,
  kValue,        // `bytes` is the canonical cell form (logical_type.h).
  kNotSent,      // The log does not say (unchanged TOAST, columns outside the key of an old row).
  kOutOfDomain,  // `bytes` is the source's text.
};

struct Cell {
  CellState state = CellState::kNull;
  std::string_view bytes;
};

// One change as a reader sees it: views into the batch, valid as long as that stays where it is.
struct Change {
  ChangeKind kind = ChangeKind::kHeartbeat;
  // The source's number of the top-level transaction. 0 for a table change that the source found between
  // transactions, without a place in the log.
  std::uint64_t transaction = 0;
  std::uint64_t subtransaction = 0;  // Equal to `transaction` unless the change belongs to a subtransaction.
  const TableVersionPtr* table = nullptr;   // Null for changes of no table.
  const TransactionStamp* stamp = nullptr;  // kCommit and kHeartbeat only.
  // One cell per column of the table, or none: kInsert has after, kDelete before, kUpdate after and, where
  // the log holds it, before.
  std::span<const Cell> before;
  std::span<const Cell> after;
};

// A run of changes in log order, in one arena. A capture fills it, readers walk it with a ChangeReader. The
// arena's bytes are also the spill format (docs/formats/changes.md). Not thread-safe; moved between threads
// whole.
class ChangeBatch {
 public:
  // Starts a row change; then one add_cell() per column for each image, before first. `image` says which
  // follow.
  enum class Images : std::uint8_t { kNone = 0, kBefore = 1, kAfter = 2, kBoth = 3 };

  void add_row_change(ChangeKind kind, std::uint64_t transaction, std::uint64_t subtransaction,
                      const TableVersionPtr& table, Images images);
  void add_cell(CellState state, std::string_view bytes);
  // For a value built in place: append its bytes to what this returns, then close_cell().
  std::string& open_cell(CellState state);
  void close_cell();

  // A change of a table without rows: kTruncate, kSchemaChange, kDrop.
  void add_table_change(ChangeKind kind, std::uint64_t transaction, std::uint64_t subtransaction,
                        const TableVersionPtr& table);
  void add_begin(std::uint64_t transaction);
  void add_commit(std::uint64_t transaction, TransactionStamp stamp);
  void add_rollback(std::uint64_t transaction, std::uint64_t subtransaction);
  void add_heartbeat(TransactionStamp stamp);

  // The raw form of the changes between two offsets that ChangeReader::offset() gave, and a batch made of
  // such a form again; `tables` are those of the batch it came from. Commits and heartbeats do not survive
  // it.
  std::string_view raw(std::size_t from, std::size_t to) const {
    return std::string_view(arena_).substr(from, to - from);
  }
  const std::vector<TableVersionPtr>& tables() const { return tables_; }
  static ChangeBatch from_raw(std::string bytes, std::vector<TableVersionPtr> tables);

  bool empty() const { return count_ == 0; }
  std::size_t count() const { return count_; }
  std::size_t bytes() const { return arena_.size(); }
  // Forgets the changes and keeps the memory.
  void clear();

 private:
  friend class ChangeReader;

  void start(ChangeKind kind, std::uint64_t transaction, std::uint64_t subtransaction, std::uint32_t table,
             std::uint32_t stamp, Images images);
  std::uint32_t number_of(const TableVersionPtr& table);

  std::string arena_;
  std::vector<TableVersionPtr> tables_;
  std::vector<TransactionStamp> stamps_;
  std::size_t count_ = 0;
  std::size_t open_cell_at_ = 0;  // Where the length of the open cell stands, 0 when none is open.
};

// Walks a batch's changes in order. The batch must outlive it and not change meanwhile.
class ChangeReader {
 public:
  explicit ChangeReader(const ChangeBatch& batch) : ChangeReader(batch, 0, batch.bytes()) {}
  // Only the changes between two offsets of an earlier walk.
  ChangeReader(const ChangeBatch& batch, std::size_t from, std::size_t to)
      : batch_(batch), at_(from), end_(to) {}

  // False at the end. What `change` points to is valid until the next call.
  bool next(Change& change);
  // Where the next change stands in the batch.
  std::size_t offset() const { return at_; }

 private:
  const ChangeBatch& batch_;
  std::size_t at_;
  std::size_t end_;
  std::vector<Cell> cells_;
};

}  // namespace ferry::model
