#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "connector/prerequisite.h"
#include "connector/task_notes.h"
#include "model/change_batch.h"
#include "model/checkpoint.h"
#include "model/endpoint.h"
#include "model/record_batch.h"
#include "model/snapshot_mark.h"
#include "model/table_kind.h"

// The seams of a source. All methods report failure by throwing base::Error: a kind whose Recovery is kTable
// concerns the one table named in the call, kRecoverable may be tried again on a new Source, kFatal ends the
// task. A method given a stop_token returns, or throws Error(kStopped), within a second of the request.
namespace ferry::connector {

using model::TableKind;

// One table or view of the source, as the catalog lists it.
struct CatalogTable {
  model::TableName name;
  TableKind kind = TableKind::kTable;
  std::int64_t rows_estimate = -1;   // Below 0 where the source does not know.
  std::int64_t bytes_estimate = -1;  // On the source's disk, without indexes.
};

// What is in the source. Used by one thread; keeps one connection for its life.
class SourceCatalog {
 public:
  virtual ~SourceCatalog() = default;

  // Every table and view that a mapping could select, by schema and name; system schemas and AWS DMS's own
  // tables (awsdms_*) left out. Partitioned parents are left out: their leaves are the tables.
  virtual std::vector<CatalogTable> tables(std::stop_token stop) = 0;

  // The table as it is now. Throws Error(kSourceTable) when there is no such table.
  virtual model::TableVersionPtr describe(const model::TableName& table, std::stop_token stop) = 0;
};

// A half-open range of a table's key in key order. A bound has the source's own literal of each key column,
// or of the first few; an empty bound is open.
struct KeyRange {
  std::vector<std::string> from;
  std::vector<std::string> to;
};

struct UnloadRequest {
  model::TableName table;
  std::optional<KeyRange> range;  // Only these rows; all where absent.
  std::int64_t batch_bytes_max =
      0;  // A batch ends when its rows hold this many bytes; at least one row; 0 = no bound.
  std::int64_t batch_rows_max = 0;  // … or this many rows; 0 = no bound.
  bool want_mark = true;            // False for a load that no capture follows.
  std::chrono::seconds lock_timeout{
      0};  // How long to wait for the table's lock in all, then Error(kSourceTable); 0 = until stop.
};

// Reads one slice of a table. Used by one thread at a time.
class SliceReader {
 public:
  virtual ~SliceReader() = default;

  // The next rows of the slice in the order the source gives them; nothing after the last. A batch holds at
  // least one row. Never the same row twice.
  virtual std::optional<model::RecordBatch> next(std::stop_token stop) = 0;
};

// One table held still: a lock, a snapshot taken under that lock, and the shape and mark that belong to it.
// While it lives the table's shape cannot change. Everything it yields is of that one snapshot.
class TableUnload {
 public:
  virtual ~TableUnload() = default;

  virtual const model::TableVersionPtr& table() const = 0;
  // What the snapshot contains; null when the request did not want it.
  virtual std::shared_ptr<const model::SnapshotMark> mark() const = 0;
  // The source's estimate of the table's rows, for encoders and progress; below 0 where it has none.
  virtual std::int64_t rows_estimate() const { return -1; }
  // How many slices the table is cut into, at least 1. The slices are disjoint and together hold every row.
  virtual std::size_t slice_count() const = 0;
  // Opens slice `index`. Slices may be opened and read by different threads at once, each reader by one.
  virtual std::unique_ptr<SliceReader> open_slice(std::size_t index, std::stop_token stop) = 0;
};

// Full load from the source. Thread-safe: several tables are unloaded at once, each on connections of its
// own.
class SourceUnload {
 public:
  virtual ~SourceUnload() = default;

  // Takes the table's lock first and the snapshot second, so that no change of the table's shape falls
  // between. Throws Error(kSourceTable) when the table is gone or may not be read.
  virtual std::unique_ptr<TableUnload> begin(const UnloadRequest& request, std::stop_token stop) = 0;
};

// Which changes a capture is to yield, and under which name it keeps its things on the source.
struct CaptureScope {
  // Names what the capture makes on the source; stable over restarts, unique on the source, [a-z0-9_]{1,40}.
  std::string task_name;
  std::vector<model::TableName> tables;
  // The source's own numbers (TableVersion::source_table) of the tables that the task has, under any name.
  std::set<std::uint64_t> known_tables;
  // Whether a table that appears later belongs to the scope. Thread-safe.
  std::function<bool(const model::TableName&)> selects;
  // The stream starts at this position, in the source's own form (StreamPosition::text()) or DMS's checkpoint
  // form of it, instead of now; empty = now. Error(kDocumentInvalid) for other text, Error(kSourceSlotLost)
  // where the log is not kept from there.
  std::string start_position;
  // How long open transactions may hold up the start before Error(kSourceTimeout) names them.
  std::chrono::seconds transaction_consistency_timeout{600};
};

// Where a capture stands on the source.
struct CaptureStart {
  model::StreamIdentity identity;
  model::StreamPosition position;
};

// Ongoing changes. The capture thread calls everything but acknowledge(), which any one other thread may
// call. Order of calls: (prepare | verify), start, then next / keep_alive / acknowledge as often as needed,
// at last destruction, which leaves the log kept for a later verify(). clean() is called instead of all
// others. The engine pauses a stream by destroying its capture, and goes on with a new one of the same
// Source: verify, start.
class SourceCapture {
 public:
  virtual ~SourceCapture() = default;

  // Makes on the source what the capture needs, in an order that loses nothing, and makes the source keep its
  // log from the returned position on. May be repeated after a crash half-way: what an earlier call of the
  // same task left is taken over or made again; the new position may be later, and the earlier one is void.
  // Every transaction that commits after `position` will be yielded.
  virtual CaptureStart prepare(const CaptureScope& scope, std::stop_token stop) = 0;

  // Compares the source with a stored checkpoint: identity, what prepare() made, and that the log from
  // checkpoint.resume_position on is still kept. Throws Error(kSourceIdentity) or Error(kSourceSlotLost)
  // naming what differs and the remedy.
  virtual void verify(const CaptureScope& scope, const model::Checkpoint& checkpoint,
                      std::stop_token stop) = 0;

  // By whoever calls prepare() or verify(). Where the log ends now: every transaction whose commit was
  // durable before the call commits at or before it, and the stream's heartbeats come to be at or after it
  // although nothing else happens. May be called before start().
  virtual model::StreamPosition current_position(std::stop_token stop) = 0;

  // How many bytes of log the source has written since `from` and keeps for this capture, for reports; below
  // 0 where it cannot say. May be called when current_position() may.
  virtual std::int64_t log_bytes_since(const model::StreamPosition& /*from*/, std::stop_token /*stop*/) {
    return -1;
  }

  // Lines for a person: what this task made on the source ("replication slot ferry_x_1").
  virtual std::vector<std::string> created() const = 0;

  // What the task has kept of its tables: the last shape of each under the name that it has, as of the
  // position that start() is given. Tables may be missing; no two have one name or one number. Called before
  // start(), if at all. For sources whose log does not say it.
  virtual void know(std::vector<model::TableVersionPtr> /*tables*/) {}

  // Starts the stream: yields every transaction that commits after `from` (a position of prepare() or of a
  // checkpoint), and none that is at or before it.
  virtual void start(const model::StreamPosition& from, std::stop_token stop) = 0;

  // Appends the next changes to `batch`, in log order: it returns when `batch` holds `bytes_max`, when
  // nothing more is at hand and `batch` is not empty, or when `wait` has passed. A transaction's changes
  // stand between its kBegin and its kCommit or kRollback, possibly over many batches; two transactions may
  // interleave. An idle source yields kHeartbeat now and then: id 0, no commit_position, and a
  // resume_position up to which nothing is missing; it may repeat. Changes of tables outside the scope may be
  // yielded. Tables that come, go and change their names while the stream runs: a table that `selects` wants
  // and that the task does not have is yielded as kSchemaChange once all its later changes are, in the
  // transaction that made it or outside any; so is, after every start(), each such table that is there
  // already (one made while no stream ran, or announced to an engine that died of it). A table keeps its
  // number under a new name, and its changes name the version with the name it had; one made anew under a
  // known name has a new number. The engine reads the rows of a table it hears of so. kDrop names the
  // version, or at least name and number.
  virtual void next(model::ChangeBatch& batch, std::size_t bytes_max, std::chrono::milliseconds wait,
                    std::stop_token stop) = 0;

  // Keeps the connection alive while the target is slow: called at least every kKeepAliveInterval by a
  // capture thread that waits for room and so does not call next(). Cheap.
  virtual void keep_alive() = 0;

  // Everything before `position` (a resume_position of this stream) is durable in a stored checkpoint: the
  // source may forget it. Takes effect with one of the next calls of next() or keep_alive().
  virtual void acknowledge(const model::StreamPosition& position) = 0;

  // Removes everything prepare() makes for this task, in any half-made state, and returns a line for each
  // thing removed. Never removes what the user made.
  virtual std::vector<std::string> clean(const CaptureScope& scope, std::stop_token stop) = 0;
};

inline constexpr std::chrono::milliseconds kKeepAliveInterval{1000};

// Single rows as they are now, for values the log did not send. Used by one thread.
class SourceLookup {
 public:
  virtual ~SourceLookup() = default;

  // The wanted columns of the row whose key columns have these values (canonical cell form), in the order
  // asked; nothing when there is no such row. The cells' bytes live until the next call.
  struct Wanted {
    model::TableVersionPtr table;
    std::vector<std::uint32_t> columns;
    std::vector<model::Cell> key;
    // The committed transaction whose change is completed: find() sees what it wrote, also where the log
    // tells of a commit before the source shows it. 0 = none.
    std::uint64_t transaction = 0;
  };
  virtual std::optional<std::vector<model::Cell>> find(const Wanted& wanted, std::stop_token stop) = 0;
};

// One source endpoint of one task. Opening it makes no connection. Roles live no longer than the Source, and
// what a role hands out no longer than the role; marks and table versions outlive all. The roles may be used
// at the same time by different threads; each keeps its own connections.
class Source {
 public:
  virtual ~Source() = default;

  // Checks what the work needs, best first contact: throws the connection's Error when there is none, else
  // answers every prerequisite, met or not. `with_capture` adds those of a new capture;
  // what one that goes on needs is verify()'s to say.
  virtual std::vector<Prerequisite> check(bool with_capture, std::stop_token stop) = 0;

  virtual std::unique_ptr<SourceCatalog> catalog() = 0;
  virtual std::unique_ptr<SourceUnload> unload() = 0;
  virtual std::unique_ptr<SourceCapture> capture(TaskNotes& notes) = 0;
  virtual std::unique_ptr<SourceLookup> lookup() = 0;

  // The mark that to_text() of one of this source's marks wrote. Throws Error(kStateUnusable) for other text.
  virtual std::shared_ptr<const model::SnapshotMark> parse_mark(std::string_view text) const = 0;
};

}  // namespace ferry::connector
