#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "connector/source.h"
#include "model/change_batch.h"
#include "tests/support/memory/memory_row.h"

namespace ferry::test_support {

// A statement that the database refuses: no such row or table, a lock not granted in time. Only tests see it.
class MemoryDatabaseError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One entry of the database's log. Numbers grow by kLogStep; a transaction's end lies kLogStep / 2 after the
// number of its commit, so that "where it commits" and "where to resume after it" are different places.
struct LogEntry {
  std::uint64_t number = 0;
  std::uint64_t transaction = 0;
  std::uint64_t subtransaction = 0;
  model::ChangeKind kind = model::ChangeKind::kBegin;
  model::TableVersionPtr table = {};
  std::optional<Row> before = {};
  std::optional<Row> after = {};
  base::UnixMicros time = 0;
};
inline constexpr std::uint64_t kLogStep = 16;

model::StreamPosition log_position(std::uint64_t number);
std::uint64_t log_number(const model::StreamPosition& position);
std::optional<std::uint64_t> parse_log_position(std::string_view text);  // As StreamPosition::text() has it.

// Which transactions a reader sees: those with a number below `next` that were not in progress.
struct MemorySnapshot {
  std::uint64_t next = 0;
  std::set<std::uint64_t> in_progress;
  std::uint64_t log_end = 0;  // The number of the last log entry when it was taken.

  bool sees(std::uint64_t transaction) const {
    return transaction < next && !in_progress.contains(transaction);
  }
};

class MemoryDatabase;

// One transaction of the database. Not thread-safe; it is rolled back where it is destroyed while open.
// Several may be open at once; their entries then interleave in the log.
class MemoryTransaction {
 public:
  ~MemoryTransaction();
  MemoryTransaction(const MemoryTransaction&) = delete;
  MemoryTransaction& operator=(const MemoryTransaction&) = delete;

  std::uint64_t id() const { return id_; }
  // How long a statement waits for a lock before it fails.
  void set_lock_timeout(std::chrono::milliseconds timeout) { lock_timeout_ = timeout; }

  // `which` names the row: the key's values in key order, or the whole row where the table has no key. Of
  // equal rows the first is meant.
  void insert(const model::TableName& table, Row row);
  void update(const model::TableName& table, const Row& which, Row after);
  void remove(const model::TableName& table, const Row& which);
  void truncate(const model::TableName& table);

  // Numbers of the table and its columns are given where they are 0.
  void create_table(model::TableVersion shape, connector::TableKind kind = connector::TableKind::kTable);
  // Other columns, another key, another name: `shape` keeps the columns whose source_number it names.
  void change_table(const model::TableName& table, model::TableVersion shape);
  void drop_table(const model::TableName& table);

  void begin_subtransaction();
  void release_subtransaction();
  void rollback_subtransaction();

  void commit();
  void rollback();
  // Commits in the log, while snapshots still do not see it; then the second step. Between the two another
  // transaction may commit and be seen, as in a server that logs a commit before it shows it.
  void commit_unseen();
  void become_seen();

 private:
  friend class MemoryDatabase;
  MemoryTransaction(MemoryDatabase& database, std::uint64_t id) : database_(database), id_(id) {}
  std::uint64_t current() const { return open_.empty() ? id_ : open_.back().id; }

  struct Sub {
    std::uint64_t id;
    std::vector<std::uint64_t> released;  // Subtransactions within it that have ended well.
  };

  MemoryDatabase& database_;
  std::uint64_t id_;
  std::vector<Sub> open_;
  std::vector<std::uint64_t> all_;  // Every subtransaction, for the end.
  std::chrono::milliseconds lock_timeout_{10000};
  enum class State : std::uint8_t { kOpen, kCommittedUnseen, kEnded } state_ = State::kOpen;
};

// A small multi-version database with a log of all changes. Thread-safe. Sources read it; tests write it
// through transactions.
class MemoryDatabase {
 public:
  explicit MemoryDatabase(std::string identity = "memory database 1",
                          base::Clock& clock = base::Clock::real())
      : identity_(std::move(identity)), clock_(clock) {}

  std::unique_ptr<MemoryTransaction> begin();

  // Names left out of catalogs: a parent of partitions that holds no rows of its own.
  void mark_as_partitioned(const model::TableName& table);
  // Updates that leave this column as it was do not send it, as with a value that is stored out of line.
  void leave_out_when_unchanged(const model::TableName& table, const std::string& column);
  // The rows that a new reader sees, in no promised order; throws when there is no such table.
  std::vector<Row> rows(const model::TableName& table) const;

  // Another database under the same address: restored, failed over.
  void set_identity(std::string identity);
  // Every connection breaks; new ones can be made.
  void drop_connections();
  // New connections can (not) be made.
  void set_reachable(bool reachable);
  // Forgets the whole log but for transactions still open, whoever needs it.
  void lose_log();

  // --- for sources ---

  struct Listed {
    model::TableName name;
    connector::TableKind kind;
    std::int64_t rows;
  };
  std::vector<Listed> list() const;
  // Null when there is no such table.
  model::TableVersionPtr describe(const model::TableName& table) const;

  // A table locked against changes of its shape, with a snapshot taken under that lock, its shape and its
  // rows.
  struct Held {
    std::uint64_t table = 0;
    model::TableVersionPtr shape;
    MemorySnapshot snapshot;
    std::vector<Row> rows;
  };
  enum class LockWait : std::uint8_t { kGranted, kNoTable, kTimedOut, kStopped };
  LockWait hold(const model::TableName& table, std::optional<std::chrono::milliseconds> timeout,
                std::stop_token stop, Held& held);
  void let_go(std::uint64_t table);

  // The row with this key, and the table's shape in `shape`: null when there is no such table.
  std::optional<Row> find(const model::TableName& table, const Row& key, model::TableVersionPtr& shape);

  // A name under which the log is kept, as a replication slot is.
  struct Slot {
    std::uint64_t serial = 0;
    std::uint64_t confirmed = 0;  // Transactions that commit after this are kept.
  };
  std::string identity() const;
  std::uint64_t log_end() const;
  // Whether every transaction that commits after `number` can be read.
  bool keeps(std::uint64_t number) const;
  // From the log's end where `from` is absent; nothing when the log is not kept from there. Replaces an old
  // one.
  std::optional<Slot> make_slot(const std::string& name, std::optional<std::uint64_t> from);
  std::optional<Slot> find_slot(const std::string& name) const;
  std::vector<std::string> slots() const;
  bool drop_slot(const std::string& name);
  void confirm(const std::string& name, std::uint64_t number);

  // The log's entries after `after`, at most `count`, as far as they are kept.
  std::vector<LogEntry> read_log(std::uint64_t after, std::size_t count) const;
  // The transactions whose commit or rollback is at or before `number` and in the log.
  std::set<std::uint64_t> ended_by(std::uint64_t number) const;
  // Returns when the log has an entry after `after`, something else happens, `wait` passes or stop is
  // requested.
  void wait_for_log(std::uint64_t after, std::chrono::milliseconds wait, std::stop_token stop) const;

  std::vector<std::uint64_t> open_transactions() const;
  // Waits for the ends of these; what is still open then.
  std::vector<std::uint64_t> wait_for_ends(std::vector<std::uint64_t> transactions,
                                           std::chrono::milliseconds timeout, std::stop_token stop) const;

  bool reachable() const;
  std::uint64_t connection_generation() const;
  base::Clock& clock() const { return clock_; }

 private:
  friend class MemoryTransaction;

  struct RowVersion {
    model::TableVersionPtr shape;
    Row row;
    std::uint64_t made_by;
    std::uint64_t made_in;  // The subtransaction.
    std::uint64_t gone_by = 0;
    std::uint64_t gone_in = 0;
  };
  struct ShapeVersion {
    model::TableVersionPtr shape;  // Null where the table was dropped.
    std::uint64_t made_by;
    std::uint64_t made_in;
  };
  struct Table {
    connector::TableKind kind = connector::TableKind::kTable;
    bool partitioned = false;
    std::vector<ShapeVersion> shapes;
    std::deque<RowVersion> rows;
    // Row versions by their identity in the shape `indexed_for`.
    std::unordered_map<std::string, std::vector<std::size_t>> index;
    model::TableVersionPtr indexed_for;
    std::set<std::string> left_out;
    std::uint64_t exclusive = 0;      // The transaction that holds the table alone.
    std::set<std::uint64_t> writers;  // Open transactions that changed rows.
    int readers = 0;                  // Snapshots that hold the shape still.
  };

  // All of these are called with the mutex held.
  MemorySnapshot snapshot() const;
  bool visible(std::uint64_t by, std::uint64_t in, const MemorySnapshot& snapshot, std::uint64_t self) const;
  bool row_visible(const RowVersion& row, const MemorySnapshot& snapshot, std::uint64_t self) const;
  model::TableVersionPtr shape_of(const Table& table, const MemorySnapshot& snapshot,
                                  std::uint64_t self) const;
  std::uint64_t find_table(const model::TableName& name, const MemorySnapshot& snapshot,
                           std::uint64_t self) const;
  Table& lock_for_rows(std::unique_lock<std::mutex>& lock, MemoryTransaction& by,
                       const model::TableName& name);
  Table& lock_alone(std::unique_lock<std::mutex>& lock, MemoryTransaction& by, const model::TableName& name);
  RowVersion& find_row(Table& table, MemoryTransaction& by, const Row& which);
  void refuse_duplicate(const Table& table, const MemoryTransaction& by, const Row& row) const;
  void add_row(Table& table, MemoryTransaction& by, const model::TableVersionPtr& shape, Row row);
  void index_for(Table& table, const model::TableVersionPtr& shape);
  std::vector<Row> visible_rows(const Table& table, const model::TableVersion& shape,
                                const MemorySnapshot& snapshot) const;
  void log(LogEntry entry);
  void log_change(MemoryTransaction& by, model::ChangeKind kind, const model::TableVersionPtr& table,
                  std::optional<Row> before = {}, std::optional<Row> after = {});
  void end(MemoryTransaction& transaction, model::ChangeKind kind);
  void release_locks(std::uint64_t transaction);
  void trim();

  std::string identity_;
  base::Clock& clock_;
  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::map<std::uint64_t, Table> tables_;
  std::uint64_t next_table_ = 1;
  std::uint64_t next_transaction_ = 100;
  std::set<std::uint64_t> open_;     // Top-level transactions that have not ended.
  std::set<std::uint64_t> unseen_;   // … that have committed and are not seen yet.
  std::set<std::uint64_t> aborted_;  // Transactions and subtransactions rolled back.
  std::deque<LogEntry> log_;
  std::uint64_t log_end_ = kLogStep;
  std::uint64_t kept_from_ = 0;
  std::unordered_map<std::uint64_t, std::uint64_t> ended_at_;  // By transaction, the log number of its end.
  std::map<std::string, Slot> slots_;
  std::uint64_t next_slot_ = 1;
  bool reachable_ = true;
  std::uint64_t connection_generation_ = 1;
};

}  // namespace ferry::test_support
