#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "connector/connector.h"
#include "engine/task_context.h"
#include "mapping/table_mapping.h"
#include "model/task_definition.h"

namespace ferry::engine {

// How a task came to rest.
enum class TaskEnd : std::uint8_t {
  kFullLoadFinished,    // DMS: FULL_LOAD_ONLY_FINISHED.
  kAlreadyFinished,     // An earlier run had finished it; nothing was done.
  kStopped,             // Asked to; DMS: NORMAL.
  kAfterFullLoad,       // DMS: STOPPED_AFTER_FULL_LOAD.
  kAfterCachedChanges,  // DMS: STOPPED_AFTER_CACHED_EVENTS.
};

struct TableResult {
  model::TableName source;
  TablePhase phase = TablePhase::kQueued;
  std::int64_t rows_loaded = 0;
  std::string error;
  TableStatistics statistics;
};

struct TaskResult {
  TaskEnd end = TaskEnd::kStopped;
  std::vector<TableResult> tables;
  // "schema.table.column" of each NUMERIC without precision, which not every target has a type for.
  std::vector<std::string> unconstrained_numerics;
  std::int64_t transactions = 0;
  std::int64_t rows_changed = 0;
  std::int64_t row_errors = 0;
  std::int64_t data_warnings = 0;
  std::string row_errors_file;
};

struct TaskOptions {
  // The first contact with source or target failing ends the task, instead of being tried again.
  bool fail_on_first_contact = false;
  connector::ForeignObjects foreign_objects = connector::ForeignObjects::kRefuse;
  std::int64_t load_threads = 1;
  LobRule::OnTruncation on_lob_truncation = LobRule::OnTruncation::kWarn;
  // How long a stream goes on after a table has appeared, before it pauses for the table's copy.
  std::chrono::milliseconds gather_interval{500};
};

// Runs one task definition from its start or its state to a final state. Recoverable errors are tried again
// as the task's Recoverable* settings say. The caller owns everything given; used by one thread.
class ReplicationTask {
 public:
  ReplicationTask(const model::TaskDefinition& definition, const mapping::TableMapping& mapping,
                  const connector::Registry& registry, TaskState& state, TaskObserver& observer,
                  base::Clock& clock, TaskOptions options);

  // Throws base::Error when the task fails; the state then says how far it came, and another run goes on.
  TaskResult run(std::stop_token stop);

  // Removes everything the task made on its source, and returns a line for each thing removed.
  std::vector<std::string> clean_source(std::stop_token stop);
  // Removes what a killed run left unfinished on the target; finished loads and changes stay.
  void clean_target(std::stop_token stop);

 private:
  std::unique_ptr<connector::Source> open_source() const;
  std::unique_ptr<connector::Target> open_target(std::stop_token stop);
  connector::ForeignObjects foreign_objects() const;
  void remove_unfinished(connector::TargetTables& target);
  void queue_failed_loads();
  TaskResult attempt(std::stop_token stop);
  void check(const TaskContext& context, std::stop_token stop);
  void begin(const TaskContext& context, connector::SourceCapture* capture, std::stop_token stop);
  std::string progress() const;
  void finish_load(connector::SourceCapture* capture, std::stop_token stop);
  std::optional<model::StreamPosition> cached_changes_end() const;
  TaskResult result(TaskEnd end, const TaskContext& context) const;
  connector::CaptureScope capture_scope();

  const model::TaskDefinition& definition_;
  const mapping::TableMapping& mapping_;
  const connector::Registry& registry_;
  TaskState& state_;
  TaskObserver& observer_;
  base::Clock& clock_;
  const TaskOptions options_;
  RowErrorLog row_errors_;
  bool in_contact_ = false;  // Source and target have answered once.
};

}  // namespace ferry::engine
