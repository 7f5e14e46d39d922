#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>

#include "engine/task_state.h"
#include "model/change_batch.h"
#include "model/row_error.h"
#include "model/task_settings.h"

namespace ferry::engine {

// Counts bad rows per target table, logs them, writes them to the task's row_errors file and acts as
// ErrorBehavior says (AWS DMS user guide, "Error handling task settings"). A line of the file has the time,
// the table, the key, the column and the reason, separated by tabs; never a value outside the key. A tab, a
// line's end or a backslash in them is written \t, \n, \r, \\.
// Thread-safe.
//
// The counts outlive the process, each bad row once. A load's counts are stored when the load is complete,
// and those of an unfinished load go with it. A report of a change has a place: the change's, and its number
// among the reports of that change. The counts of changes are stored with the place of the last report in
// them, no later than the object or checkpoint that makes a restart leave the change out. So what is reported
// again after a restart is either behind that place and new, or counted already.
class RowErrorLog {
 public:
  // Goes on from the counts in the state, which outlives it.
  RowErrorLog(TaskState& state, std::filesystem::path file, model::ErrorBehavior behavior);

  // For rows of loads. row_error() throws Error(kDataError) when the policy is STOP_TASK.
  model::RowErrorSink& of_loads() { return loads_; }
  // For the change that begin_change() named last. Throws as of_loads().
  model::RowErrorSink& of_changes() { return changes_; }

  // Where the target keeps the checkpoint with its data, a restart may leave out what the state has not heard
  // of yet, so the counts of changes are stored at each report instead of with progress.
  void store_each_report(bool each) { store_each_report_ = each; }

  // The table's rows are about to be read from the first on: an earlier attempt's counts are void, and so is
  // the suspension of a table that had the name before.
  void begin_load(const model::TableName& table);
  // The counts of the table's load become durable.
  void store_load(const model::TableName& table);
  // What of_changes() hears next is of the change with this number among its table's changes in this
  // transaction. By the one thread that reports to of_changes().
  void begin_transaction(const model::StreamPosition& commit);
  void begin_change(std::uint64_t ordinal, model::ChangeKind kind);
  // of_changes() has heard that the row of the change is left out. By the same thread.
  bool change_is_refused() const { return change_is_refused_; }

  // DataErrorPolicy or its escalation has suspended the table: the caller leaves it alone from now on.
  bool is_suspended(const model::TableName& table) const;
  // Another number once any answer of is_suspended() is another. In the thread that suspends a table, at
  // once. Without a lock, for those who ask for each row.
  std::uint64_t suspensions() const { return suspensions_.load(std::memory_order_acquire); }
  std::string suspension_reason(const model::TableName& table) const;

  RowCounts counts_of(const model::TableName& table) const;
  const std::filesystem::path& file() const { return file_; }

 private:
  struct Table {
    RowCounts counts;
    std::string suspended;                      // The reason; empty = not suspended.
    std::map<std::string, std::int64_t> kinds;  // Warnings by "column: what".
  };

  class Loads final : public model::RowErrorSink {
   public:
    explicit Loads(RowErrorLog& log) : log_(log) {}
    void row_error(const model::RowError& error) override;
    void data_warning(const model::DataWarning& warning) override;

   private:
    RowErrorLog& log_;
  };
  class Changes final : public model::RowErrorSink {
   public:
    explicit Changes(RowErrorLog& log) : log_(log) {}
    void row_error(const model::RowError& error) override;
    void data_warning(const model::DataWarning& warning) override;

   private:
    RowErrorLog& log_;
  };

  // All of these with the mutex held.
  enum class Report : std::uint8_t { kNew, kLastCounted, kCountedBefore };
  Report place_of_next(const Table& table);
  void note_change(Table& table, const model::TableName& name);
  void write(Table& table, const model::RowError& error);
  void act(Table& table, const model::RowError& error);
  void warn(Table& table, const model::DataWarning& warning);

  TaskState& state_;
  const std::filesystem::path file_;
  const model::ErrorBehavior behavior_;
  Loads loads_{*this};
  Changes changes_{*this};
  std::atomic<std::uint64_t> suspensions_{0};  // Written with the mutex held.
  mutable std::mutex mutex_;                   // Guards what follows.
  std::map<model::TableName, Table> tables_;
  std::ofstream out_;
  bool store_each_report_ = false;  // Set before changes are applied.
  ReportPlace next_report_;         // Of the thread that applies changes, as is the next.
  model::ChangeKind change_kind_ = model::ChangeKind::kInsert;
  bool change_is_refused_ = false;
};

}  // namespace ferry::engine
