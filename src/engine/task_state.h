#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "connector/target_journal.h"
#include "connector/task_notes.h"
#include "engine/cdc/looked_up_values.h"
#include "model/checkpoint.h"
#include "model/table_version.h"

struct sqlite3;

namespace ferry::engine {

// Where a whole task stands. Each value is stored by the task itself when it gets there.
enum class TaskPhase : std::uint8_t {
  kNew,       // Nothing was done; prepare() of the capture may have run.
  kLoading,   // The capture's start is stored (where there is one) and tables are being loaded.
  kChanges,   // Every table is loaded or in error; changes are applied from the checkpoint on.
  kFinished,  // Nothing is left to do; only a restart does more.
};

// Where one table stands. Stored by the thread that works on the table.
enum class TablePhase : std::uint8_t {
  kQueued,   // Not begun. DMS: "Before load".
  kLoading,  // The load of `load_epoch` has begun; after a crash its objects are discarded. DMS: "Full load".
  kLoaded,   // All rows of `load_epoch` are durable. DMS: "Table completed".
  kError,    // Suspended. DMS: "Table error".
  kDropped,  // Gone on the source. Changes from before may come again, and are carried.
  kLeft,     // Has a name now that no selection rule selects; nothing of it is carried any more.
};

// How the rows that a table has before its changes come to the target.
enum class CopyAs : std::uint8_t {
  kLoad,     // As a load.
  kInserts,  // As inserts among the changes: in tasks without a load, and where the target has changes
             // already.
};

// One table under one name. A table that is renamed gets a second entry, because changes made under the old
// name may come again after a restart; one that is made anew under a known name has another number.
struct TableState {
  model::TableName source;
  std::uint64_t source_number = 0;  // TableVersion::source_table; 0 where the source has none.
  model::TableName target;
  TablePhase phase = TablePhase::kQueued;
  CopyAs copy_as = CopyAs::kLoad;
  std::uint64_t load_epoch = 0;
  std::string mark;  // SnapshotMark::to_text() of the loaded copy; empty where none was taken.
  std::int64_t rows_loaded = 0;
  std::string error;  // kError only.
  // CopyAs::kInserts: the rows are read only once the stream has come here, so that they stand behind the
  // changes of the table that had the name before; empty = at once.
  model::StreamPosition copy_after = {};
  // CopyAs::kInserts in phase kLoading: where the inserts stand in the stream. A checkpoint that has come
  // here says that they are durable.
  model::StreamPosition copy_position = {};
  // The shape (shape_text()) that the table keeps on the target whatever becomes of it on the source; empty
  // in tasks whose target follows the source, and where it is not known yet.
  std::string shape = {};
  // The shape (shape_text()) that the stream said last before the checkpoint, or that the copy has; empty
  // where not known. What differs from it is a DDL, and what does not is only said again.
  std::string last_shape = {};
};

// The place of a report (a row error or a data warning) in the stream as one target table sees it. Reports of
// one change are numbered from 0.
struct ReportPlace {
  connector::ChangePoint change;
  std::uint64_t report = 0;

  friend auto operator<=>(const ReportPlace&, const ReportPlace&) = default;
};

// How many changes of each kind.
struct ChangeCounts {
  std::int64_t inserts = 0;
  std::int64_t updates = 0;
  std::int64_t deletes = 0;
  std::int64_t ddls = 0;

  friend bool operator==(const ChangeCounts&, const ChangeCounts&) = default;
};

// What became of a target table's bad rows.
struct RowCounts {
  std::int64_t load_errors = 0;
  std::int64_t load_warnings = 0;
  std::int64_t change_errors = 0;
  std::int64_t change_warnings = 0;
  ChangeCounts refused = {};  // The changes of rows that change_errors speaks of.
  // The last report that the two counts of changes include; nothing before the first.
  std::optional<ReportPlace> through;
};

// What is stored together with a checkpoint.
struct ChangeProgress {
  std::map<model::TableName, ChangeCounts> counts;  // Those that are others now.
  model::StreamPosition counted_through;            // Not before the checkpoint.
  std::vector<TableState> tables;                   // Those that are others from the checkpoint on.
};

// Everything a task must find again after a crash, in <folder>/state.db (docs/formats/state.md). Opening it
// locks the folder for the life of the object; no other process opens the file meanwhile. Thread-safe; every
// change is durable when the call returns. Throws Error(kStateUnusable, kStateInUse, kStateMismatch).
class TaskState final : public connector::TargetJournal, public connector::TaskNotes {
 public:
  // What to do with a state that is there already.
  enum class Existing : std::uint8_t { kContinue, kRestart };

  // `fingerprint` is the definition's, one line per part; with kContinue a stored one that differs throws
  // Error(kStateMismatch), unless nothing was done yet. kRestart forgets counts and phase, for a load from
  // the start. Tables and checkpoint stay until forget_former_run(), because they tell what the former run
  // left unfinished, and the journal for good, because it tells which objects are the task's own; all of them
  // go where the target is another place now.
  static std::unique_ptr<TaskState> open(const std::filesystem::path& folder, std::string_view fingerprint,
                                         Existing existing = Existing::kContinue);
  // For `ferry clean`: whatever the fingerprint.
  static std::unique_ptr<TaskState> open_any(const std::filesystem::path& folder);
  ~TaskState() override;

  // In phase kNew: what the former run left unfinished is gone.
  void forget_former_run();

  const std::filesystem::path& folder() const { return folder_; }

  // A name for the task that is unique on its source and fit for [a-z0-9_]: made once, then kept.
  std::string task_name();

  // When the task's load began: `now` the first time, kept for every later run until a restart.
  base::UnixMicros load_started(base::UnixMicros now);

  TaskPhase phase() const;
  void set_phase(TaskPhase phase);

  // By source name and number.
  std::vector<TableState> tables() const;
  // Adds the tables that are new, all in one step.
  void add_tables(const std::vector<TableState>& tables);
  // Adds the table, or replaces what was stored under its source name and number.
  void set_table(const TableState& table);
  void remove_table(const TableState& table);

  // Transactions whose changes of a queued table were left out because the table's copy is to hold them.
  void skip_transaction(const TableState& table, const model::TransactionStamp& stamp);
  std::vector<model::TransactionStamp> skipped_transactions(
      const TableState& table) const;  // id, commit_position
  // They are in the copy.
  void forget_skipped(const TableState& table);

  // By target table.
  std::map<model::TableName, RowCounts> row_counts() const;
  void set_row_counts(const model::TableName& target, const RowCounts& counts);
  // Becomes durable with the table's next intend() or the next set_checkpoint(): what is counted is never
  // behind what a restart leaves out.
  void note_row_counts(const model::TableName& target, const RowCounts& counts);

  // What the target was given, those that it refused among them. By source table.
  std::map<model::TableName, ChangeCounts> change_counts() const;
  // The last transaction that they hold; one up to here that comes again is counted already.
  model::StreamPosition changes_counted_through() const;

  // Where the capture started, kept for good; nothing before set_capture_start().
  std::optional<model::Checkpoint> checkpoint() const;
  // `progress` becomes durable in the same step.
  void set_checkpoint(const model::Checkpoint& checkpoint, const ChangeProgress& progress = {});

  // Values that changes needed and the log did not send. intend() makes those of its table durable first,
  // done() lets them go.
  LookedUpValues& looked_up_values() { return *looked_up_values_; }

  std::vector<connector::ObjectRecord> objects(const model::TableName& table) const override;
  std::optional<connector::ObjectRecord> last_changes(const model::TableName& table) const override;
  void intend(const connector::ObjectRecord& object) override;
  void done(const model::TableName& table, const std::string& key) override;
  void forget(const model::TableName& table, const std::string& key) override;
  void forget_load(const model::TableName& table, std::uint64_t load_epoch) override;

  std::optional<std::string> get(std::string_view name) const override;
  void set(std::string_view name, std::string_view value) override;

 private:
  class Statement;

  TaskState(const std::filesystem::path& folder);
  void restart();
  void check_fingerprint(std::string_view fingerprint);
  void require_in_place() const;
  void execute(const char* sql) const;
  std::optional<std::string> fact(std::string_view name) const;
  void set_fact(std::string_view name, std::string_view value);
  void set_facts(const std::vector<std::pair<std::string, std::string>>& facts);
  // Runs `work` as one durable step.
  template <typename Work>
  void in_one_step(Work work);
  // All of these with the mutex held.
  void write_fact(std::string_view name, std::string_view value);
  void write_table(const TableState& table);
  void write_object(const connector::ObjectRecord& object);
  void write_progress(const ChangeProgress& progress);
  void write_row_counts(const model::TableName& target, const RowCounts& counts);

  std::filesystem::path folder_;
  int lock_ = -1;
  mutable std::mutex mutex_;  // Guards the connection and the statements on it.
  sqlite3* database_ = nullptr;
  std::map<model::TableName, RowCounts> noted_counts_;  // Not durable yet.
  std::unique_ptr<LookedUpValues> looked_up_values_;
};

}  // namespace ferry::engine
