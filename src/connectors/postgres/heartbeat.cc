#include "connectors/postgres/heartbeat.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "connectors/postgres/catalog.h"
#include "connectors/postgres/ddl_artifacts.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::string_view kTable = "awsdms_heartbeat";
constexpr std::string_view kColumns =
    "hb_key,hb_created_at,hb_created_by,hb_last_heartbeat_at,hb_last_heartbeat_by";
// The stream waits meanwhile.
constexpr int kStatementMs = 1'000;

constexpr std::string_view kMake = R"(
CREATE TABLE {table} (
  hb_key serial PRIMARY KEY, hb_created_at timestamp, hb_created_by varchar(64), hb_last_heartbeat_at timestamp,
  hb_last_heartbeat_by varchar(64));
COMMENT ON TABLE {table} IS {mark};
)";
// Two tasks that share the table write the one row one after the other.
constexpr std::string_view kBeat = R"(
LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO {table} (hb_created_at, hb_created_by)
  SELECT current_timestamp, current_user WHERE NOT EXISTS (SELECT 1 FROM {table});
UPDATE {table} SET hb_last_heartbeat_at = current_timestamp, hb_last_heartbeat_by = current_user;
COMMIT;
)";

}  // namespace

void SourceHeartbeat::write(Connection& connection, std::stop_token stop) {
  std::string table = quote_table({.schema = schema_, .table = std::string(kTable)});
  OwnTable found = look_up_own_table(connection, schema_, std::string(kTable), stop);
  if (found.exists && !found.trusted) {
    throw Error(ErrorKind::kSourcePrivilege,
                Error::Parts{.message = fmt::format("the table {} belongs to another user", table),
                             .remedy = "Let the source user own it, or drop it.",
                             .vendor_code = std::string(sqlstate::kInsufficientPrivilege)});
  }
  if (found.exists && found.columns != kColumns) {
    throw Error(ErrorKind::kSourceConfiguration,
                Error::Parts{.message = fmt::format("the table {} has other columns", table),
                             .remedy = "Drop it, or name another HeartbeatSchema.",
                             .vendor_code = std::string(sqlstate::kUndefinedObject)});
  }
  std::string script =
      fmt::format("BEGIN; SET LOCAL lock_timeout = {0}; SET LOCAL statement_timeout = {0};", kStatementMs);
  if (!found.exists)
    script += fmt::format(fmt::runtime(kMake), fmt::arg("table", table),
                          fmt::arg("mark", connection.literal(kFerrysMark)));
  script += fmt::format(fmt::runtime(kBeat), fmt::arg("table", table));
  connection.run(std::move(script), "write the heartbeat", stop);
}

void SourceHeartbeat::beat(Connection& connection, std::stop_token stop) {
  due_ = clock_.steady_now() + every_;
  try {
    write(connection, stop);
    warned_ = false;
  } catch (const Error& error) {
    // A server's refusal has a SQLSTATE; a lost connection and a stop have none.
    if (error.vendor_code().empty() || error.kind() == ErrorKind::kSourceConnectionLost) throw;
    connection.run("ROLLBACK", "leave a transaction", stop);
    if (std::exchange(warned_, true)) return;
    base::log_warning(base::kSourceCapture, "the heartbeat is not written: {}", error.message());
  }
}

std::vector<std::string> drop_heartbeat(Connection& connection, const std::string& schema,
                                        std::stop_token stop) {
  if (!look_up_own_table(connection, schema, std::string(kTable), stop).marked) return {};
  connection.run(fmt::format("DROP TABLE {}", quote_table({.schema = schema, .table = std::string(kTable)})),
                 "remove the heartbeat table", stop);
  return {fmt::format("table {}.{}", schema, kTable)};
}

}  // namespace ferry::postgres
