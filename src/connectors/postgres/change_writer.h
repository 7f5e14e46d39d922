#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>

#include "connectors/postgres/logged_row.h"
#include "connectors/postgres/position.h"
#include "connectors/postgres/relations.h"
#include "model/change_batch.h"

namespace ferry::postgres {

struct CommitRecord {
  Lsn position{};         // Orders the commits, lies within the record, and is before `end`.
  Lsn end{};              // Where the record ends: to go on from there is to go on behind the transaction.
  std::int64_t time = 0;  // Microseconds since 1970-01-01.
};

struct RowChange {
  model::ChangeKind kind = model::ChangeKind::kInsert;
  std::uint32_t subtransaction = 0;  // 0 = the transaction itself.
  OldTuple old = OldTuple::kNone;
  std::span<const Value> before;  // In the order of the table's places.
  std::span<const Value> after;
};

// What every decoder does with what it has read: frames transactions, says a table's shape before its first
// change, and turns rows into cells. A transaction without changes for us leaves no trace but a heartbeat's
// position. Used by one thread.
class ChangeWriter {
 public:
  // Forgets all. Transactions that committed before `from` are left out.
  void start(Lsn from);

  // A transaction that comes whole once it has committed; its changes follow, then commit().
  void begin(std::uint32_t xid);
  // One that comes in pieces while it is in progress. Pieces of several, and whole transactions, interleave.
  void open_piece(std::uint32_t xid);
  void close_piece();
  void commit(std::uint32_t xid, const CommitRecord& record, model::ChangeBatch& batch);
  // What came in pieces is void: the transaction, or its subtransaction where the two differ.
  void roll_back(std::uint32_t xid, std::uint32_t subxid, model::ChangeBatch& batch);

  // The transaction whose changes come now; 0 between transactions.
  std::uint32_t current() const { return current_; }

  // Changes of the current transaction.
  void add_row(const StreamTable& table, const RowChange& row, model::ChangeBatch& batch);
  void add_truncate(const StreamTable& table, std::uint32_t subtransaction, model::ChangeBatch& batch);

  // kSchemaChange, left out where that shape was said last, or kDrop: of the current transaction, or its
  // subtransaction (0 = itself).
  void add_table_change(model::ChangeKind kind, std::uint32_t subtransaction,
                        const model::TableVersionPtr& table, model::ChangeBatch& batch);
  // The shape that was said last, as the current transaction sees it; null where none was, or the table is
  // gone.
  model::TableVersionPtr last_shape(std::uint64_t source_table) const;

  // The server's log up to `end` has nothing more for us, unless we are within a transaction. One that is
  // still open on the server commits after it, and will be sent, or sent again.
  void idle(Lsn end);
  Lsn idle_through() const { return idle_through_; }
  void add_heartbeat(model::ChangeBatch& batch);

 private:
  // By TableVersion::source_table; null for a table that is gone.
  using Announced = std::unordered_map<std::uint64_t, model::TableVersionPtr>;

  struct Transaction {
    bool in_pieces = false;
    bool begun = false;   // Its kBegin has been added: it has changes for us.
    Announced announced;  // In its pieces.
  };

  Transaction& begun(model::ChangeBatch& batch);
  void say_shape(const model::TableVersionPtr& table, std::uint32_t subtransaction,
                 model::ChangeBatch& batch);
  void add_image(const StreamTable& table, std::span<const Value> values, OldTuple old,
                 std::span<const Value> whole_old, model::ChangeBatch& batch);

  Lsn from_{};
  std::uint32_t current_ = 0;
  std::map<std::uint32_t, Transaction> open_;
  // The shape that was yielded last of each table, in the order of commits.
  Announced announced_;
  Lsn idle_through_{};     // Everything before it has been yielded, or was empty of changes.
  Lsn yielded_through_{};  // The last resume position that was yielded.
  std::string scratch_;
};

}  // namespace ferry::postgres
