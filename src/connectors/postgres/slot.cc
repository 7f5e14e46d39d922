#include "connectors/postgres/slot.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kReleaseTimeout{30};
constexpr milliseconds kPollInterval{200};
// After so long a start that still waits says so.
constexpr std::chrono::seconds kTellAfter{2};
constexpr int kQueryLengthMax = 200;

struct Holder {
  SlotReader reader;
  std::string client;
  std::string user;
};

std::optional<Holder> find_holder(Connection& connection, const std::string& name, std::stop_token stop) {
  Result found = connection.run(
      {.sql = "SELECT s.active_pid, a.application_name, coalesce(host(a.client_addr), 'local'), a.usename "
              "FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid "
              "WHERE s.slot_name = $1 AND s.active_pid IS NOT NULL",
       .doing = fmt::format("look up who reads the replication slot {}", name),
       .parameters = {name}},
      stop);
  if (found.rows() == 0) return std::nullopt;
  return Holder{.reader = {.pid = static_cast<int>(found.integer(0, 0)),
                           .application_name = std::string(found.text(0, 1))},
                .client = std::string(found.text(0, 2)),
                .user = std::string(found.text(0, 3))};
}

Error slot_in_use(const std::string& name, const Holder& holder) {
  return Error(ErrorKind::kSourceSlotInUse,
               {.message = fmt::format(
                    "the replication slot {} is read by process {} (application '{}', user '{}', "
                    "client {})",
                    name, holder.reader.pid, holder.reader.application_name, holder.user, holder.client),
                .remedy = "End that process, or let the task that it belongs to run.",
                .vendor_code = std::string(sqlstate::kObjectInUse)});
}

// What the slot's creation waits for, as one clause. The query text is the session's own: it is put into one
// line, and may be cut.
std::string oldest_transaction(Connection& connection, std::stop_token stop) {
  Result found = connection.run(
      fmt::format(
          "SELECT * FROM ("
          "SELECT xact_start AS since, backend_xid::text AS xid, usename::text AS who, "
          "'process ' || pid AS what, left(regexp_replace(btrim(query, E' \\t\\r\\n'), '\\s+', ' ', 'g'), "
          "{}) AS query "
          "FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() "
          "UNION ALL SELECT prepared, transaction::text, owner::text, 'prepared transaction ' || gid, '' "
          "FROM pg_prepared_xacts) open ORDER BY since LIMIT 1",
          kQueryLengthMax),
      "look up open transactions", stop);
  if (found.rows() == 0) return "no transaction is open any more";
  return fmt::format("the oldest is {} of user {}, {}, open since {}, query: {}", found.text(0, 1),
                     found.text(0, 2), found.text(0, 3), found.text(0, 0), found.text(0, 4));
}

// Newer servers take the options in parentheses. FAILOVER lets standbys keep a copy of the slot.
std::string create_command(const Connection& connection, const NewSlot& slot) {
  std::string_view options = "NOEXPORT_SNAPSHOT";
  if (connection.server_major() >= 15) options = "(SNAPSHOT 'nothing')";
  if (connection.server_major() >= 17) options = "(SNAPSHOT 'nothing', FAILOVER true)";
  return fmt::format("CREATE_REPLICATION_SLOT {} LOGICAL {} {}", quote_identifier(slot.name), slot.plugin,
                     options);
}

}  // namespace

std::string SlotReader::to_text() const { return fmt::format("{} {}", pid, application_name); }

std::optional<SlotReader> SlotReader::parse(std::string_view text) {
  SlotReader reader;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), reader.pid);
  if (failed != std::errc() || end == text.data() + text.size()) return std::nullopt;
  reader.application_name = text.substr(static_cast<std::size_t>(end - text.data()) + 1);
  return reader;
}

std::optional<SlotFacts> find_slot(Connection& connection, const std::string& name, std::stop_token stop) {
  int major = connection.server_major();
  std::string_view lost = "''";
  if (major >= 13) lost = "CASE WHEN wal_status = 'lost' THEN 'its log was removed' ELSE '' END";
  if (major >= 17)
    lost =
        "coalesce(invalidation_reason, CASE WHEN wal_status = 'lost' THEN 'its log was removed' ELSE '' END)";
  Result found = connection.run(
      {.sql = fmt::format("SELECT plugin, database, coalesce(active_pid, 0), confirmed_flush_lsn, {}, {} "
                          "FROM pg_replication_slots WHERE slot_name = $1",
                          lost, major >= 14 ? "two_phase" : "false"),
       .doing = fmt::format("look up the replication slot {}", name),
       .parameters = {name}},
      stop);
  if (found.rows() == 0) return std::nullopt;
  return SlotFacts{.plugin = std::string(found.text(0, 0)),
                   .database = std::string(found.text(0, 1)),
                   .two_phase = found.boolean(0, 5),
                   .active_pid = static_cast<int>(found.integer(0, 2)),
                   .confirmed_flush = parse_lsn(found.text(0, 3)).value_or(Lsn{0}),
                   .lost_because = std::string(found.text(0, 4))};
}

void warn_of_idle_slots(Connection& connection, const std::string& own, std::stop_token stop) {
  Result idle = connection.run(
      {.sql = "SELECT slot_name, pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() "
              "THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, restart_lsn)) "
              "FROM pg_replication_slots WHERE slot_name LIKE 'ferry\\_%' AND slot_name <> $1 "
              "AND database = current_database() AND NOT active AND restart_lsn IS NOT NULL ORDER BY 1",
       .doing = "look for replication slots without a reader",
       .parameters = {own}},
      stop);
  for (int row = 0; row < idle.rows(); ++row) {
    base::log_for_table(
        base::Severity::kWarning, base::kSourceCapture,
        "nobody reads the replication slot {} of another task, and the server keeps {} of its log for it. "
        "Start that task, or remove the slot with `ferry clean`; where the task's state is lost, with "
        "SELECT pg_drop_replication_slot('{}')",
        idle.text(row, 0), idle.text(row, 1), idle.text(row, 0));
  }
}

void release_slot(Connection& connection, const std::string& name, const std::optional<SlotReader>& own,
                  std::stop_token stop) {
  auto deadline = Clock::now() + kReleaseTimeout;
  while (auto holder = find_holder(connection, name, stop)) {
    bool is_own =
        own && holder->reader.pid == own->pid && holder->reader.application_name == own->application_name;
    if (!is_own || Clock::now() >= deadline) throw slot_in_use(name, *holder);
    connection.run({.sql = "SELECT pg_terminate_backend($1::int4)",
                    .doing = "end the task's own former connection",
                    .parameters = {std::to_string(own->pid)}},
                   stop);
    // The server frees the slot a moment after it has told the process to end; pg_sleep() is waited for with
    // the stop token in hand.
    connection.run("SELECT pg_sleep(0.1)", "wait for the slot", stop);
  }
}

bool drop_slot(Connection& connection, const std::string& name, std::stop_token stop) {
  return connection
             .run({.sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE "
                          "slot_name = $1",
                   .doing = fmt::format("drop the replication slot {}", name),
                   .parameters = {name}},
                  stop)
             .rows() > 0;
}

Lsn create_slot(const Settings& settings, Connection& connection, const NewSlot& slot, std::stop_token stop) {
  std::string doing = fmt::format("make the replication slot {}", slot.name);
  auto started = Clock::now();
  bool told = false;
  bool timed_out = false;
  SlotReader own;
  {
    Connection walsender(settings, ConnectionPurpose::kReplication, slot.application_name, stop);
    Statement create{.sql = create_command(walsender, slot), .doing = doing};
    own = {.pid = walsender.backend_pid(), .application_name = slot.application_name};
    slot.connected(own);
    walsender.send(create);
    try {
      while (!timed_out) {
        if (auto result = walsender.poll(create, kPollInterval, stop)) {
          auto position = parse_lsn(result->text(0, 1));
          if (!position) throw Error(ErrorKind::kSourceProtocol, "the new replication slot has no position");
          return *position;
        }
        auto waited = Clock::now() - started;
        timed_out = slot.transaction_timeout.count() > 0 && waited >= slot.transaction_timeout;
        if (waited >= kTellAfter && !std::exchange(told, true)) {
          base::log_warning(base::kSourceCapture,
                            "waiting for open transactions before capture can start: {}",
                            oldest_transaction(connection, stop));
        }
      }
    } catch (const Error& error) {
      if (error.vendor_code() == sqlstate::kUndefinedFile) {
        throw Error(ErrorKind::kSourceConfiguration,
                    {.message = error.message(),
                     .remedy = fmt::format("Install the plugin {} on the server; it comes with PostgreSQL's "
                                           "contrib modules.",
                                           slot.plugin),
                     .vendor_code = error.vendor_code()});
      }
      if (error.kind() != ErrorKind::kStopped) throw;
      walsender.cancel();
      throw;
    }
    walsender.cancel();
  }
  // The request to cancel may have come too late, or not yet. The server drops a half-made slot by itself; a
  // finished one stays.
  std::string open = oldest_transaction(connection, stop);
  release_slot(connection, slot.name, own, stop);
  drop_slot(connection, slot.name, stop);
  throw Error(ErrorKind::kSourceTimeout,
              {.message = fmt::format("cannot {}: open transactions did not end within {} s; {}", doing,
                                      slot.transaction_timeout.count(), open),
               .remedy = "End that transaction, or raise TransactionConsistencyTimeout."});
}

}  // namespace ferry::postgres
