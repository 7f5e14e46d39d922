#include "connectors/postgres/unload.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "connectors/postgres/catalog.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/copy_binary.h"
#include "connectors/postgres/position.h"

// Why lock first and snapshot second: a table that ALTER TABLE rewrites, or TRUNCATE empties, between a
// snapshot and its COPY reads as empty under that snapshot, without any error. ACCESS SHARE keeps both away
// from the table, and LOCK TABLE is the one statement that a REPEATABLE READ transaction can run before its
// snapshot is taken. The next statement takes the snapshot and asks for its content and for the log's end,
// which is what the mark is made of.
namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using connector::KeyRange;
using connector::SliceReader;
using connector::TableUnload;
using connector::UnloadRequest;
using std::chrono::milliseconds;

// How long one attempt at the lock may stand in the way of the sessions that queue behind it.
constexpr milliseconds kLockAttempt{1000};
constexpr milliseconds kReadWait{1000};
// Arrow counts a column's bytes in 32 bits, and one row can hold 1 GB.
constexpr std::int64_t kBatchBytesMax = std::int64_t{512} << 20;

// What the table's unload and its readers share.
struct Held {
  Held(const Settings& endpoint, std::stop_token stop)
      : settings(endpoint), connection(settings, ConnectionPurpose::kOrdinary, "ferry-unload", stop) {}

  const Settings settings;
  Connection connection;
  DescribedTable table;
  std::shared_ptr<const PostgresMark> mark;
};

bool try_lock(Connection& connection, const UnloadRequest& request, std::stop_token stop) {
  try {
    connection.run(
        {.sql = fmt::format("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = {}; "
                            "LOCK TABLE {} IN ACCESS SHARE MODE; SET LOCAL lock_timeout = 0",
                            kLockAttempt.count(), quote_table(request.table)),
         .doing = fmt::format("lock the table {} for reading", to_string(request.table)),
         .concern = Concern::kTable},
        stop);
    return true;
  } catch (const Error& error) {
    if (error.vendor_code() != sqlstate::kLockNotAvailable) throw;
    connection.run("ROLLBACK", "leave a transaction", stop);
    return false;
  }
}

void lock_table(Connection& connection, const UnloadRequest& request, std::stop_token stop) {
  auto deadline = std::chrono::steady_clock::now() + request.lock_timeout;
  bool told = false;
  while (!try_lock(connection, request, stop)) {
    if (request.lock_timeout.count() > 0 && std::chrono::steady_clock::now() >= deadline) {
      throw Error(
          ErrorKind::kSourceTable,
          {.message = fmt::format("the table {} stayed locked for {} s", to_string(request.table),
                                  request.lock_timeout.count()),
           .remedy = "End the session that holds an ACCESS EXCLUSIVE lock on it, then reload the table.",
           .vendor_code = std::string(sqlstate::kLockNotAvailable)});
    }
    if (!std::exchange(told, true)) {
      base::log_for_table(base::Severity::kWarning, base::kSourceUnload,
                          "table {}: waiting for its lock, which another session holds",
                          to_string(request.table));
    }
  }
}

// The transaction's first snapshot and what it holds.
std::shared_ptr<const PostgresMark> take_mark(Connection& connection, std::stop_token stop) {
  std::string_view snapshot_function =
      connection.server_major() >= 13 ? "pg_current_snapshot()" : "txid_current_snapshot()";
  Result found = connection.run(
      fmt::format("SELECT {}, CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_insert_lsn() END",
                  snapshot_function),
      "take a snapshot", stop);
  if (found.is_null(0, 1)) {
    // On a standby the snapshot functions leave out the transactions that are still running (its snapshots
    // keep them elsewhere), so a mark made there would call rows copied that are not.
    throw Error(
        ErrorKind::kSourceConfiguration,
        Error::Parts{.message = "the source is a read replica, whose snapshots do not tell what they contain",
                     .remedy = "Use the primary as the source, or a task of type full-load."});
  }
  auto snapshot = Snapshot::parse(found.text(0, 0));
  auto high = parse_lsn(found.text(0, 1));
  if (!snapshot || !high)
    throw Error(ErrorKind::kSourceProtocol, "the server's snapshot has an unknown form");
  return std::make_shared<PostgresMark>(std::move(*snapshot), *high);
}

// "(a, b) >= ('1'::integer, 'x'::text)", or nothing for an open bound.
std::string bound_condition(const Connection& connection, const DescribedTable& table,
                            std::string_view comparison, const std::vector<std::string>& bound) {
  const model::TableVersion& version = *table.version;
  if (bound.empty()) return {};
  if (bound.size() != version.key.size()) {
    throw Error(ErrorKind::kInternal, fmt::format("a key range of {} has {} values for {} key columns",
                                                  to_string(version.name), bound.size(), version.key.size()));
  }
  std::string columns;
  std::string values;
  for (std::size_t i = 0; i < bound.size(); ++i) {
    const model::Column& column = version.columns[version.key[i]];
    std::string_view comma = i > 0 ? ", " : "";
    columns += fmt::format("{}{}", comma, quote_identifier(column.name));
    values += fmt::format("{}{}::{}", comma, connection.literal(bound[i]), column.source_type);
  }
  return fmt::format("({}) {} ({})", columns, comparison, values);
}

std::string copy_statement(const Connection& connection, const DescribedTable& table,
                           const std::optional<KeyRange>& range) {
  std::string columns;
  for (const CatalogColumn& column : table.columns) {
    if (!columns.empty()) columns += ", ";
    columns += column.select;
  }
  std::string where;
  if (range) {
    std::string from = bound_condition(connection, table, ">=", range->from);
    std::string to = bound_condition(connection, table, "<", range->to);
    if (!from.empty() || !to.empty()) {
      where = fmt::format(" WHERE {}{}{}", from, from.empty() || to.empty() ? "" : " AND ", to);
    }
  }
  // Not ONLY: AWS DMS reads a parent's children with it.
  return fmt::format("COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT binary)", columns,
                     quote_table(table.version->name), where);
}

// For a COPY that has been silent for long. A query may compute for as long as it likes before it has a row,
// so the silence proves nothing; the server is asked on another connection what it is doing for this one.
// Throws Error(kSourceConnectionLost) where it waits for us or for the next statement, or knows of nothing;
// or where it does not answer either.
void check_on_silent(Held& held, std::stop_token stop) {
  Connection asking(held.settings, ConnectionPurpose::kOrdinary, "ferry-unload-check", stop);
  Result found =
      asking.run({.sql = "SELECT coalesce(wait_event, ''), coalesce(state, '') FROM pg_stat_activity "
                         "WHERE pid = $1::int4",
                  .doing = "ask what the server does for a silent load",
                  .parameters = {std::to_string(held.connection.backend_pid())}},
                 stop);
  std::string_view because = "is gone";
  if (found.rows() > 0) {
    bool sends = found.text(0, 0) == "ClientWrite";
    if (!sends && !found.text(0, 1).starts_with("idle")) return;
    because = sends ? "has sent more" : "has sent all";
  }
  throw Error(
      ErrorKind::kSourceConnectionLost,
      {.message = fmt::format("the load of {} has received nothing for {} s, but the server's process {} {}",
                              to_string(held.table.version->name), held.settings.execute_timeout.count(),
                              held.connection.backend_pid(), because),
       .remedy = "Look for what drops connections between Ferry and the server."});
}

class CopySlice final : public SliceReader {
 public:
  CopySlice(std::shared_ptr<Held> held, const UnloadRequest& request, std::stop_token stop)
      : held_(std::move(held)),
        reader_(held_->table.version, codecs_of(held_->table)),
        bytes_max_(std::clamp(request.batch_bytes_max, std::int64_t{1}, kBatchBytesMax)),
        rows_max_(std::max(request.batch_rows_max, std::int64_t{1})) {
    held_->connection.start_copy(
        {.sql = copy_statement(held_->connection, held_->table, request.range),
         .doing = fmt::format("read the table {}", to_string(held_->table.version->name)),
         .concern = Concern::kTable},
        // The server's answer comes with its first full buffer of rows.
        stop, [&] { check_on_silent(*held_, stop); });
  }

  std::optional<model::RecordBatch> next(std::stop_token stop) override {
    asked_ = std::chrono::steady_clock::now();
    while (!ended_ && reader_.rows() < rows_max_ && (reader_.rows() == 0 || reader_.bytes() < bytes_max_)) {
      std::string_view message;
      switch (held_->connection.read_copy(message, kReadWait, stop)) {
        case CopyRead::kData:
          reader_.add(message);
          held_->connection.release_copy();
          break;
        case CopyRead::kNothing: look_at_silence(stop); break;
        case CopyRead::kEnd: end(); break;
      }
    }
    if (reader_.rows() == 0) return std::nullopt;
    return reader_.take();
  }

 private:
  static std::vector<ColumnCodec> codecs_of(const DescribedTable& table) {
    std::vector<ColumnCodec> codecs;
    for (const CatalogColumn& column : table.columns) codecs.push_back(column.codec);
    return codecs;
  }

  void end() {
    if (!reader_.finished()) throw Error(ErrorKind::kSourceProtocol, "a binary COPY stream has no end mark");
    ended_ = true;
  }

  void look_at_silence(std::stop_token stop) {
    auto since = std::max(asked_, held_->connection.last_heard());
    if (std::chrono::steady_clock::now() - since < held_->settings.execute_timeout) return;
    check_on_silent(*held_, stop);
    asked_ = std::chrono::steady_clock::now();
  }

  std::shared_ptr<Held> held_;
  // When next() began to wait, or when the server last said that it is still at work.
  std::chrono::steady_clock::time_point asked_;
  CopyBinaryReader reader_;
  std::int64_t bytes_max_;
  std::int64_t rows_max_;
  bool ended_ = false;
};

class PostgresTableUnload final : public TableUnload {
 public:
  PostgresTableUnload(std::shared_ptr<Held> held, UnloadRequest request)
      : held_(std::move(held)), request_(std::move(request)) {}

  const model::TableVersionPtr& table() const override { return held_->table.version; }
  std::shared_ptr<const model::SnapshotMark> mark() const override { return held_->mark; }
  std::int64_t rows_estimate() const override { return held_->table.rows_estimate; }
  // One slice, read on the connection that holds the lock. More of them would take pg_export_snapshot() here
  // and a connection, a lock and SET TRANSACTION SNAPSHOT for each range of ctid.
  std::size_t slice_count() const override { return 1; }
  std::unique_ptr<SliceReader> open_slice(std::size_t, std::stop_token stop) override {
    return std::make_unique<CopySlice>(held_, request_, stop);
  }

 private:
  std::shared_ptr<Held> held_;
  UnloadRequest request_;
};

}  // namespace

std::unique_ptr<TableUnload> PostgresUnload::begin(const UnloadRequest& request, std::stop_token stop) {
  auto held = std::make_shared<Held>(settings_, stop);
  Connection& connection = held->connection;
  // A view cannot be locked by a user that may only read it, and has nothing to rewrite. The functions that
  // it calls may count on the usual search path.
  bool is_view = connection
                     .run({.sql = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                                  "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'v'",
                           .doing = "look up a table",
                           .parameters = {request.table.schema, request.table.table}},
                          stop)
                     .rows() > 0;
  if (is_view) {
    connection.run("SET search_path = \"$user\", public; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                   "begin a transaction", stop);
  } else {
    lock_table(connection, request, stop);
  }
  if (request.want_mark) held->mark = take_mark(connection, stop);
  held->table = describe_table(connection, settings_, request.table, stop);
  if (held->table.unlogged && request.want_mark) {
    base::log_for_table(base::Severity::kWarning, base::kSourceUnload,
                        "table {} is UNLOGGED: it is loaded, but its changes are not captured",
                        to_string(request.table));
  }
  if (held->table.has_children) {
    base::log_for_table(
        base::Severity::kWarning, base::kSourceUnload,
        "table {} has child tables: their rows are loaded with it, but their changes are captured only "
        "under the children's own names",
        to_string(request.table));
  }
  return std::make_unique<PostgresTableUnload>(std::move(held), request);
}

}  // namespace ferry::postgres
