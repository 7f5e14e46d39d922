#include "connectors/postgres/prerequisites.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "base/error.h"
#include "connectors/postgres/client.h"

namespace ferry::postgres {
namespace {

using base::ErrorKind;
using connector::Prerequisite;

// Below it AWS DMS gives up too; 0 means no limit.
constexpr std::int64_t kWalSenderTimeoutMinMs = 10'000;
constexpr int kFirstPgoutputVersion = 100000;

std::string setting(Connection& connection, const std::string& name, std::stop_token stop) {
  Result found = connection.run({.sql = "SELECT setting FROM pg_settings WHERE name = $1",
                                 .doing = "read the server's settings",
                                 .parameters = {name}},
                                stop);
  return found.rows() == 0 ? std::string() : std::string(found.text(0, 0));
}

// A required prerequisite; the remedy is told only where it is not met.
Prerequisite found(std::string name, bool met, std::string seen, std::string remedy) {
  Prerequisite prerequisite;
  prerequisite.name = std::move(name);
  prerequisite.met = met;
  prerequisite.seen = std::move(seen);
  if (!met) prerequisite.remedy = std::move(remedy);
  return prerequisite;
}

Prerequisite check_version(Connection& connection) {
  int version = connection.server_version();
  return found("server version", version >= kFirstPgoutputVersion, std::to_string(version),
               "Ongoing changes need PostgreSQL 10 or later.");
}

Prerequisite check_wal_level(Connection& connection, std::stop_token stop) {
  std::string level = setting(connection, "wal_level", stop);
  return found(
      "wal_level", level == "logical", level,
      "Set wal_level to logical and restart the server (on Amazon RDS: rds.logical_replication = 1).");
}

Prerequisite check_primary(Connection& connection, std::stop_token stop) {
  bool standby =
      connection.run("SELECT pg_is_in_recovery()", "ask for the server's role", stop).boolean(0, 0);
  return found("primary server", !standby, standby ? "read replica" : "primary",
               "Use the primary as the source of a task with ongoing changes.");
}

// How much of something the server has left. What a killed start of the task itself holds comes free when
// that start is made again; so it is no error where some of it has a name of Ferry's.
Prerequisite check_room(Connection& connection, const std::string& limit, const std::string& view,
                        const std::string& is_ferrys, std::stop_token stop) {
  Result counts = connection.run(
      fmt::format("SELECT count(*), count(*) FILTER (WHERE {}), current_setting('{}')::int FROM {}",
                  is_ferrys, limit, view),
      fmt::format("count what {} limits", limit), stop);
  std::int64_t used = counts.integer(0, 0);
  std::int64_t most = counts.integer(0, 2);
  Prerequisite room =
      found(limit, used < most, fmt::format("{} of {} in use", used, most),
            fmt::format("Raise {} on the server, or end what does not need its place.", limit));
  room.required = counts.integer(0, 1) == 0;
  room.kind = ErrorKind::kSourceNoSlot;
  return room;
}

Prerequisite check_slots(Connection& connection, std::stop_token stop) {
  return check_room(connection, "max_replication_slots", "pg_replication_slots",
                    "slot_name LIKE 'ferry\\_%' AND database = current_database()", stop);
}

Prerequisite check_wal_senders(Connection& connection, std::stop_token stop) {
  return check_room(connection, "max_wal_senders", "pg_stat_replication",
                    "application_name LIKE 'ferry-%' AND usename = current_user", stop);
}

Prerequisite check_wal_sender_timeout(Connection& connection, std::stop_token stop) {
  std::string value = setting(connection, "wal_sender_timeout", stop);
  std::int64_t timeout_ms = std::strtoll(value.c_str(), nullptr, 10);
  return found("wal_sender_timeout", timeout_ms == 0 || timeout_ms >= kWalSenderTimeoutMinMs, value + " ms",
               "Set wal_sender_timeout to 0, or to 10000 ms or more.");
}

// The right to replicate comes with the attribute, with superuser, or on Amazon RDS with a role.
Prerequisite check_replication_right(Connection& connection, std::stop_token stop) {
  bool granted = connection
                     .run(
                         "SELECT bool_or(r.rolsuper OR r.rolreplication OR r.rolname = 'rds_replication') "
                         "FROM pg_roles r WHERE r.rolname = current_user "
                         "OR r.rolname = 'rds_replication' AND pg_has_role(current_user, r.oid, 'member')",
                         "ask for the user's rights", stop)
                     .boolean(0, 0);
  Prerequisite right =
      found("replication right", granted, granted ? "granted" : "missing",
            "Run ALTER ROLE … REPLICATION for the source user (on Amazon RDS: GRANT rds_replication).");
  right.kind = ErrorKind::kSourcePrivilege;
  return right;
}

// A slot that falls behind one of these limits is lost, and the task must be reloaded.
Prerequisite check_kept_log(Connection& connection, std::stop_token stop) {
  std::string size = setting(connection, "max_slot_wal_keep_size", stop);
  std::string idle = setting(connection, "idle_replication_slot_timeout", stop);
  bool unlimited = (size.empty() || size == "-1") && (idle.empty() || idle == "0");
  std::string seen = "max_slot_wal_keep_size " + (size.empty() ? std::string("none") : size + " MB");
  if (!idle.empty()) seen += ", idle_replication_slot_timeout " + idle;
  Prerequisite kept =
      found("log kept for slots", unlimited, std::move(seen),
            "Set max_slot_wal_keep_size to -1 and idle_replication_slot_timeout to 0, so that a stopped "
            "task can be resumed.");
  kept.required = false;
  return kept;
}

// The line for replication in pg_hba.conf shows only when one tries.
Prerequisite check_replication_connection(const Settings& settings, std::stop_token stop) {
  Prerequisite prerequisite = found("replication connection", true, "accepted", "");
  try {
    Connection connection(settings, ConnectionPurpose::kReplication, "ferry-check", stop);
    connection.run("IDENTIFY_SYSTEM", "ask for the server's identity", stop);
  } catch (const base::Error& error) {
    if (error.kind() == ErrorKind::kStopped) throw;
    prerequisite.met = false;
    prerequisite.seen = error.message();
    prerequisite.remedy = error.remedy();
    prerequisite.kind = error.kind();
  }
  return prerequisite;
}

}  // namespace

std::vector<Prerequisite> check_prerequisites(const Settings& settings, bool with_capture,
                                              std::stop_token stop) {
  Connection connection(settings, ConnectionPurpose::kOrdinary, "ferry-check", stop);
  std::vector<Prerequisite> all;
  all.push_back(found("connection", true, fmt::format("PostgreSQL {}", connection.server_version()), ""));
  if (!with_capture) return all;
  all.push_back(check_version(connection));
  all.push_back(check_primary(connection, stop));
  all.push_back(check_wal_level(connection, stop));
  all.push_back(check_slots(connection, stop));
  Prerequisite senders = check_wal_senders(connection, stop);
  bool has_sender = senders.met;
  all.push_back(std::move(senders));
  all.push_back(check_wal_sender_timeout(connection, stop));
  Prerequisite right = check_replication_right(connection, stop);
  bool may_replicate = right.met;
  all.push_back(std::move(right));
  all.push_back(check_kept_log(connection, stop));
  // It would fail for a lack of these as well, and then say less.
  if (may_replicate && has_sender) all.push_back(check_replication_connection(settings, stop));
  return all;
}

}  // namespace ferry::postgres
