#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "connector/prerequisite.h"
#include "connector/target_journal.h"
#include "model/checkpoint.h"
#include "model/record_batch.h"
#include "model/row_error.h"
#include "model/transaction.h"

// The seams of a target. Failure is a base::Error as in source.h; a target that does not answer is given up
// after a deadline of the connector's own, with Error(kTargetUnreachable). Tables are named as they are to be
// called on the target: names and columns come already transformed.
namespace ferry::connector {

// What the engine must know of a target at run time.
struct Capabilities {
  // recover() and apply() keep the checkpoint in the same durable step as the data.
  bool atomic_checkpoint = false;
  // DDL and data share a transaction.
  bool transactional_ddl = false;
  // The target takes several slices of one table at once.
  bool parallel_slices = false;
  // An update must carry every column, also those the log did not send: they are looked up in the source.
  bool whole_rows = false;
};

// DMS's TargetTablePrepMode.
enum class PrepMode : std::uint8_t { kDoNothing, kDropAndCreate, kTruncateBeforeLoad };

// What to do about things of the target's own forms in a table's place that this task's journal does not
// list.
enum class ForeignObjects : std::uint8_t {
  kRefuse,  // Throw Error(kTargetForeignObjects) naming the first of them and the settings that decide.
  kKeep,    // Leave them. One whose name the load needs is refused all the same.
  kRemove,  // Remove them; never anything of another form.
};

struct PrepareRequest {
  model::TableVersionPtr table;
  PrepMode mode = PrepMode::kDropAndCreate;
  ForeignObjects foreign = ForeignObjects::kRefuse;
  // The task has no load: things that loads make are there on purpose, and are nothing foreign.
  bool changes_only = false;
};

// Tables before the stream. Used by one thread at a time.
class TargetTables {
 public:
  virtual ~TargetTables() = default;

  // Throws what prepare() would throw, and changes nothing. Called for every table before the first is
  // prepared.
  virtual void check(const PrepareRequest& request) = 0;

  // Makes the table's place ready for a load. What this task wrote there earlier, loads and changes, goes,
  // unless mode is kDoNothing; repeating it changes nothing.
  virtual void prepare(const PrepareRequest& request) = 0;

  // Removes what killed runs of this task left half-written for the table; finished things stay. Called at
  // each start before any load or apply.
  virtual void sweep(const model::TableName& table) = 0;

  // Removes everything that the load of this task with this load_epoch wrote for the table, in every
  // PrepMode: it was not finished. What other loads wrote stays. Repeating it changes nothing.
  virtual void discard_load(const model::TableName& table, std::uint64_t load_epoch) = 0;

  // Removes what applying the transaction with this commit position has made durable for the table: the
  // engine copies a table's rows as one transaction of inserts, which was not finished and will not come
  // again. Nothing to do for a target with an atomic checkpoint. Repeating it changes nothing.
  virtual void discard_changes(const model::TableName& table, const model::StreamPosition& commit) = 0;
};

// One load of one slice of one table.
struct LoadRequest {
  model::TableVersionPtr table;
  std::uint64_t load_epoch =
      0;  // From 1; grows with every load of the table; the journal keeps it with each object.
  std::size_t slice = 0;  // From 0.
  std::size_t slice_count = 1;
  std::int64_t memory_bytes_max = 0;  // What the load may hold, but for one huge value.
  base::UnixMicros task_start_time = 0;
  std::int64_t rows_estimate = -1;
};

// Writes the rows of one slice. Used by one thread.
class TargetLoad {
 public:
  virtual ~TargetLoad() = default;

  // Takes the rows in order. Rows that cannot be carried go to `errors` and are left out.
  virtual void write(const model::RecordBatch& batch, model::RowErrorSink& errors) = 0;

  // Everything written is durable and visible when it returns. Called once, last. Returns the rows written.
  virtual std::int64_t finish() = 0;
};

// Ongoing changes. Used by one thread. Order of calls: recover, then apply / advance / tick / flush as often
// as needed. Applying a transaction again after a restart changes nothing that is already durable.
class TargetApply {
 public:
  virtual ~TargetApply() = default;

  // The checkpoint the target itself holds, if it does: it wins over the local one where it is of the same
  // stream and not before it. Finishes what a killed run left half-done as far as that needs no new changes.
  // `local` is the task's stored checkpoint.
  virtual std::optional<model::Checkpoint> recover(const model::Checkpoint& local) = 0;

  // Takes one transaction: rows and table changes in order, all of it. `after` is the checkpoint that holds
  // when the transaction and everything before it is durable. Accepted does not mean durable: durable()
  // tells. `errors` is used during the call only, and hears of a change before the next one is asked for:
  // that is how the engine knows which change a report is of, and counts it once although the change may come
  // again after a restart.
  virtual void apply(model::Transaction& transaction, const model::Checkpoint& after,
                     model::RowErrorSink& errors) = 0;

  // There was nothing to apply up to `after`.
  virtual void advance(const model::Checkpoint& after) = 0;

  // Does what is due by the clock. Called at least every tick_interval().
  virtual void tick() = 0;
  virtual std::chrono::milliseconds tick_interval() const = 0;

  // Makes everything accepted durable, but for what belongs to an object whose stored cut is not reached yet.
  virtual void flush() = 0;

  // The newest checkpoint up to which everything is durable; the one the stream started from if nothing is.
  virtual model::Checkpoint durable() const = 0;
};

struct ApplyRequest {
  std::int64_t memory_bytes_max = 0;
  // TRUNCATE and DROP on the source may remove what the table has on the target: true only where the user's
  // own document names the DMS setting.
  bool remove_on_truncate = false;
  bool remove_on_drop = false;
};

// One target endpoint of one task. Opening it makes no connection.
class Target {
 public:
  virtual ~Target() = default;

  virtual Capabilities capabilities() const = 0;
  // As Source::check().
  virtual std::vector<Prerequisite> check(std::stop_token stop) = 0;
  virtual std::unique_ptr<TargetTables> tables() = 0;
  // Thread-safe: loads run side by side.
  virtual std::unique_ptr<TargetLoad> load(const LoadRequest& request) = 0;
  virtual std::unique_ptr<TargetApply> apply(const ApplyRequest& request) = 0;
};

}  // namespace ferry::connector
