#include "connectors/postgres/ddl_artifacts.h"

#include <fmt/format.h>

#include <random>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "connectors/postgres/catalog.h"
#include "connectors/postgres/ddl_message.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::string_view kAuditTable = "awsdms_ddl_audit";
constexpr std::string_view kKeyTable = "awsdms_ddl_key";
constexpr std::string_view kFunction = "awsdms_intercept_ddl";
constexpr std::string_view kTrigger = "awsdms_intercept_ddl";
// Dropped objects are told to a trigger of this event alone.
constexpr std::string_view kDropTrigger = "awsdms_intercept_drop";
// The function's comment. The number grows with the function's text, so that a newer Ferry replaces it.
constexpr std::string_view kFunctionMark = "Made by Ferry, version 2";

constexpr std::string_view kAuditColumns = "c_key,c_time,c_user,c_txn,c_tag,c_oid,c_name,c_schema,c_ddlqry";
// TRIGGER and REFERENCES are not granted: they would let anybody put code into the function's statements.
constexpr std::string_view kMakeAuditTable = R"(
CREATE TABLE {schema}.awsdms_ddl_audit (
  c_key bigserial PRIMARY KEY, c_time timestamp, c_user varchar(64), c_txn varchar(16), c_tag varchar(24),
  c_oid integer, c_name varchar(64), c_schema varchar(64), c_ddlqry text);
COMMENT ON TABLE {schema}.awsdms_ddl_audit IS {mark};
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.awsdms_ddl_audit TO PUBLIC;
GRANT USAGE, SELECT, UPDATE ON SEQUENCE {schema}.awsdms_ddl_audit_c_key_seq TO PUBLIC;
)";
constexpr std::string_view kMakeKeyTable = R"(
CREATE TABLE {schema}.awsdms_ddl_key (c_key varchar(64) PRIMARY KEY);
REVOKE ALL ON {schema}.awsdms_ddl_key FROM PUBLIC;
COMMENT ON TABLE {schema}.awsdms_ddl_key IS {mark};
INSERT INTO {schema}.awsdms_ddl_key VALUES ({key});
)";

// Nothing in it is looked up along the caller's search path, which the caller could have led to functions of
// his own: until the path is set, every name has its schema. The caller's path is set again at the end.
// DMS's part waits for locks as the caller does, Ferry's no longer than two seconds.
// The empty message behind the others keeps the log's order: the server files a message under the place where
// it ends, a row under the one where it begins, and where the two are the same, a row of the transaction goes
// before a message of its subtransaction, which an EXCEPTION block is.
constexpr std::string_view kFunctionBody = R"(
DECLARE
  _schema pg_catalog.name := pg_catalog.current_schema();
  _path pg_catalog.text := pg_catalog.current_setting('search_path');
  _lock_timeout pg_catalog.text := pg_catalog.current_setting('lock_timeout');
  _key pg_catalog.text;
  _item pg_catalog.record;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

  IF tg_event = 'ddl_command_end' AND
     tg_tag IN ('CREATE TABLE', 'ALTER TABLE', 'DROP TABLE', 'CREATE TABLE AS') THEN
    INSERT INTO {schema}.awsdms_ddl_audit VALUES
      (DEFAULT, current_timestamp, current_user, CAST(txid_current() AS varchar(16)), tg_tag, 0, '', _schema,
       current_query());
    DELETE FROM {schema}.awsdms_ddl_audit;
  END IF;

  PERFORM set_config('lock_timeout', '2s', true);
  BEGIN
    SELECT k.c_key INTO STRICT _key FROM {schema}.awsdms_ddl_key k;
    IF tg_event = 'sql_drop' THEN
      FOR _item IN
        SELECT d.objid, d.schema_name, d.object_name
        FROM pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.object_type = 'table'
          AND NOT d.is_temporary
      LOOP
        PERFORM pg_logical_emit_message(true, 'dms_ddl', convert_to(json_build_object(
          'version', 1, 'secret', _key, 'event', 'drop', 'oid', _item.objid::bigint,
          'schema', _item.schema_name, 'name', _item.object_name)::text, 'UTF8'));
      END LOOP;
    ELSE
      FOR _item IN
        WITH RECURSIVE commands AS (
          SELECT d.classid, d.objid FROM pg_event_trigger_ddl_commands() d
        ), touched(oid) AS (
          SELECT d.objid FROM commands d WHERE d.classid = 'pg_class'::regclass
          UNION
          SELECT c.oid FROM commands d JOIN pg_class c ON c.relnamespace = d.objid
          WHERE d.classid = 'pg_namespace'::regclass
          UNION
          SELECT i.inhrelid FROM pg_inherits i JOIN touched t ON t.oid = i.inhparent
        )
        SELECT c.oid, n.nspname, c.relname, c.relreplident::text AS identity,
          (SELECT json_agg(json_build_array(a.attnum, a.attname, a.atttypid::bigint, a.atttypmod,
                                            a.attnotnull, {generated}) ORDER BY a.attnum)
           FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
          (SELECT json_agg(k.attnum ORDER BY k.place)
           FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
           WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate AND k.place <= {key_columns}
             AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false
                 ELSE i.indisprimary END) AS key
        FROM touched t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.relname !~ '^awsdms_'
        ORDER BY c.oid
      LOOP
        PERFORM pg_logical_emit_message(true, 'dms_ddl', convert_to(json_build_object(
          'version', 1, 'secret', _key, 'event', 'table', 'oid', _item.oid::bigint,
          'schema', _item.nspname, 'name', _item.relname, 'identity', _item.identity,
          'columns', coalesce(_item.columns, '[]'::json), 'key', coalesce(_item.key, '[]'::json))::text,
          'UTF8'));
      END LOOP;
    END IF;
    IF FOUND THEN
      PERFORM pg_logical_emit_message(true, 'dms_ddl', '');
    END IF;
  EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'Ferry could not note this statement in the log: %', SQLERRM;
  END;
{move}
  PERFORM set_config('lock_timeout', _lock_timeout, true);
  PERFORM pg_catalog.set_config('search_path', _path, true);
END
)";

// A table that is published with its updates, and that the log can no longer name rows of, must leave that
// list before its user's next UPDATE; one that it can name rows of again must be back in it by then, or its
// updates are not captured. The two publications of a task are known by their names (publications.h).
constexpr std::string_view kMove = R"(
  IF tg_event = 'ddl_command_end' AND (tg_tag = 'ALTER TABLE' OR tg_tag ~ '^DROP ') THEN
    BEGIN
      FOR _item IN
        SELECT l.nspname, l.relname,
          CASE WHEN l.named THEN l.inserts ELSE l.full_list END AS old_list,
          CASE WHEN l.named THEN l.full_list ELSE l.inserts END AS new_list
        FROM (
          SELECT n.nspname, c.relname, f.pubname AS full_list, i.pubname AS inserts, r.prpubid = f.oid AS in_full,
            c.relreplident = 'f' OR EXISTS (
              SELECT 1 FROM pg_index x
              WHERE x.indrelid = c.oid AND x.indisvalid AND x.indimmediate
                AND (c.relreplident = 'd' AND x.indisprimary OR c.relreplident = 'i' AND x.indisreplident)) AS named
          FROM pg_publication f
          JOIN pg_publication i ON i.pubname = regexp_replace(f.pubname::text, '_full$', '_ins')
          JOIN pg_publication_rel r ON r.prpubid IN (f.oid, i.oid)
          JOIN pg_class c ON c.oid = r.prrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE f.pubname ~ '^ferry_.*_full$' AND (f.pubupdate OR f.pubdelete)
            AND NOT (i.pubupdate OR i.pubdelete) AND c.relkind = 'r'
        ) l
        WHERE l.named <> l.in_full
      LOOP
        EXECUTE format('ALTER PUBLICATION %I DROP TABLE ONLY %I.%I', _item.old_list, _item.nspname,
                       _item.relname);
        EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY %I.%I', _item.new_list, _item.nspname,
                       _item.relname);
      END LOOP;
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'Ferry could not publish a table as its key asks for: %', SQLERRM;
    END;
  END IF;
)";

constexpr std::string_view kMakeFunction = R"(
CREATE OR REPLACE FUNCTION {schema}.awsdms_intercept_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER AS {body};
COMMENT ON FUNCTION {schema}.awsdms_intercept_ddl() IS {mark};
)";

constexpr std::string_view kTriggersQuery = R"(
SELECT e.evtname, n.nspname, coalesce(obj_description(p.oid, 'pg_proc'), ''),
       p.proowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) OR r.rolsuper, e.evtenabled IN ('O', 'A')
FROM pg_event_trigger e
JOIN pg_proc p ON p.oid = e.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_roles r ON r.oid = p.proowner
WHERE e.evtname IN ($1, $2))";

constexpr std::string_view kFunctionQuery = R"(
SELECT coalesce(obj_description(p.oid, 'pg_proc'), ''),
       p.proowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) OR r.rolsuper
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
WHERE n.nspname = $1 AND p.proname = $2 AND p.pronargs = 0)";

// Two tasks that start at once make the objects one after the other. Any number will do that is always the
// same.
constexpr std::string_view kLock = "SELECT pg_advisory_xact_lock(724377460191)";
constexpr int kLockTimeoutMs = 10'000;

// What stands in the way of making the objects, other than a refusal by the server.
struct NotOurs {
  std::string what;
};

bool is_ours(std::string_view comment) { return comment.starts_with(kFerrysMark); }

struct Trigger {
  std::string schema;
  std::string comment;  // Of its function.
  bool trusted = false;
  bool enabled = false;
};

struct Triggers {
  std::optional<Trigger> ddl;
  std::optional<Trigger> drop;
};

Triggers find_triggers(Connection& connection, std::stop_token stop) {
  Result found = connection.run({.sql = std::string(kTriggersQuery),
                                 .doing = "look up the DDL triggers",
                                 .parameters = {std::string(kTrigger), std::string(kDropTrigger)}},
                                stop);
  Triggers triggers;
  for (int i = 0; i < found.rows(); ++i) {
    Trigger trigger{.schema = std::string(found.text(i, 1)),
                    .comment = std::string(found.text(i, 2)),
                    .trusted = found.boolean(i, 3),
                    .enabled = found.boolean(i, 4)};
    (found.text(i, 0) == kTrigger ? triggers.ddl : triggers.drop) = std::move(trigger);
  }
  return triggers;
}

// An expression for a random text. The server makes it where it can, so that no log of statements has it.
std::string make_key(const Connection& connection) {
  if (connection.server_major() >= 13) return "gen_random_uuid()";
  std::random_device random;
  return connection.literal(fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random()));
}

std::string make_function(const Connection& connection, const std::string& schema) {
  int major = connection.server_major();
  std::string body = fmt::format(fmt::runtime(kFunctionBody), fmt::arg("schema", schema),
                                 fmt::arg("generated", major >= 12 ? "a.attgenerated <> ''" : "false"),
                                 fmt::arg("key_columns", major >= 11 ? "i.indnkeyatts" : "i.indnatts"),
                                 fmt::arg("move", major >= 10 ? kMove : std::string_view()));
  return fmt::format(fmt::runtime(kMakeFunction), fmt::arg("schema", schema),
                     fmt::arg("body", connection.literal(body)),
                     fmt::arg("mark", connection.literal(kFunctionMark)));
}

void require_own(const OwnTable& table, std::string_view name, std::string_view columns) {
  if (!table.exists) return;
  if (!table.trusted) throw NotOurs{fmt::format("the table {} belongs to another user", name)};
  if (table.columns != columns) throw NotOurs{fmt::format("the table {} has other columns", name)};
}

// Returns the schema the objects are in. The transaction is the caller's.
std::string make(Connection& connection, const std::string& wanted_schema, std::stop_token stop) {
  Triggers triggers = find_triggers(connection, stop);
  std::string schema = wanted_schema;
  for (const auto& trigger : {triggers.ddl, triggers.drop}) {
    if (!trigger) continue;
    if (!is_ours(trigger->comment)) throw NotOurs{"the event trigger is there and not Ferry's"};
    if (!trigger->trusted) throw NotOurs{"the event trigger's function belongs to another user"};
    schema = trigger->schema;
  }
  Result function = connection.run({.sql = std::string(kFunctionQuery),
                                    .doing = "look up the DDL function",
                                    .parameters = {schema, std::string(kFunction)}},
                                   stop);
  std::string comment;
  if (function.rows() > 0) {
    comment = function.text(0, 0);
    if (!is_ours(comment)) throw NotOurs{fmt::format("the function {} is there and not Ferry's", kFunction)};
    if (!function.boolean(0, 1))
      throw NotOurs{fmt::format("the function {} belongs to another user", kFunction)};
  }
  OwnTable audit = look_up_own_table(connection, schema, std::string(kAuditTable), stop);
  OwnTable key = look_up_own_table(connection, schema, std::string(kKeyTable), stop);
  require_own(audit, kAuditTable, kAuditColumns);
  require_own(key, kKeyTable, "c_key");

  std::string quoted = quote_identifier(schema);
  std::string mark = connection.literal(kFerrysMark);
  std::string script;
  if (!audit.exists)
    script += fmt::format(fmt::runtime(kMakeAuditTable), fmt::arg("schema", quoted), fmt::arg("mark", mark));
  if (!key.exists)
    script += fmt::format(fmt::runtime(kMakeKeyTable), fmt::arg("schema", quoted), fmt::arg("mark", mark),
                          fmt::arg("key", make_key(connection)));
  if (comment != kFunctionMark) script += make_function(connection, quoted);
  if (!triggers.ddl)
    script += fmt::format("CREATE EVENT TRIGGER {} ON ddl_command_end EXECUTE PROCEDURE {}.{}();", kTrigger,
                          quoted, kFunction);
  if (!triggers.drop)
    script += fmt::format("CREATE EVENT TRIGGER {} ON sql_drop EXECUTE PROCEDURE {}.{}();", kDropTrigger,
                          quoted, kFunction);
  if (!script.empty()) connection.run(std::move(script), "make the objects of CaptureDdls", stop);
  return schema;
}

}  // namespace

OwnTable look_up_own_table(Connection& connection, const std::string& schema, const std::string& name,
                           std::stop_token stop) {
  Result found =
      connection.run({.sql = "SELECT c.relkind = 'r' AND (r.rolsuper OR r.rolname = current_user), "
                             "coalesce(obj_description(c.oid, 'pg_class'), '') = $3, "
                             "(SELECT string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_attribute a "
                             "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) "
                             "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                             "JOIN pg_roles r ON r.oid = c.relowner WHERE n.nspname = $1 AND c.relname = $2",
                      .doing = fmt::format("look up the table {}", name),
                      .parameters = {schema, name, std::string(kFerrysMark)}},
                     stop);
  if (found.rows() == 0) return {};
  return {.exists = true,
          .trusted = found.boolean(0, 0),
          .marked = found.boolean(0, 1),
          .columns = std::string(found.text(0, 2))};
}

std::optional<std::string> make_ddl_artifacts(Connection& connection, const std::string& schema,
                                              std::stop_token stop) {
  auto give_up = [&](std::string_view why) {
    connection.run("ROLLBACK", "leave a transaction", stop);
    base::log_warning(base::kSourceCapture,
                      "DDL is not captured: {}. {}. A task's document with CaptureDdls false does not try it",
                      why, kWithoutTrigger);
    return std::nullopt;
  };
  connection.run(fmt::format("BEGIN; SET LOCAL lock_timeout = {}", kLockTimeoutMs), "begin a transaction",
                 stop);
  try {
    connection.run(std::string(kLock), "wait for other tasks", stop);
    std::string made_in = make(connection, schema, stop);
    connection.run("COMMIT", "make the objects of CaptureDdls", stop);
    if (made_in != schema)
      base::log_info(base::kSourceCapture, "the objects of CaptureDdls are in the schema {} and are shared",
                     made_in);
    return made_in;
  } catch (const NotOurs& obstacle) {
    return give_up(obstacle.what);
  } catch (const Error& error) {
    // A server's refusal has a SQLSTATE; a lost connection and a stop have none.
    if (error.vendor_code().empty() || error.kind() == ErrorKind::kStopped ||
        error.kind() == ErrorKind::kSourceConnectionLost) {
      throw;
    }
    return give_up(error.message());
  }
}

std::string ddl_message_key(Connection& connection, std::stop_token stop) {
  Triggers triggers = find_triggers(connection, stop);
  for (const auto& trigger : {triggers.ddl, triggers.drop}) {
    if (!trigger || !is_ours(trigger->comment) || !trigger->trusted || !trigger->enabled) return {};
  }
  const std::string& schema = triggers.ddl->schema;
  if (!look_up_own_table(connection, schema, std::string(kKeyTable), stop).trusted) return {};
  std::string table = quote_table({.schema = schema, .table = std::string(kKeyTable)});
  bool readable = connection
                      .run({.sql = "SELECT has_table_privilege($1, 'SELECT')",
                            .doing = "ask for the user's rights",
                            .parameters = {table}},
                           stop)
                      .boolean(0, 0);
  if (!readable) return {};
  Result key =
      connection.run(fmt::format("SELECT c_key FROM {}", table), "read the key of DDL messages", stop);
  return key.rows() == 1 ? std::string(key.text(0, 0)) : std::string();
}

std::string ddl_trigger_numbers(Connection& connection, std::stop_token stop) {
  Result found =
      connection.run({.sql = "SELECT coalesce(string_agg(oid::text, ',' ORDER BY evtname), '') FROM "
                             "pg_event_trigger WHERE evtname IN ($1, $2)",
                      .doing = "look up the event triggers",
                      .parameters = {std::string(kTrigger), std::string(kDropTrigger)}},
                     stop);
  return std::string(found.text(0, 0));
}

std::optional<std::string> find_other_task(Connection& connection, const TaskTraces& own,
                                           std::stop_token stop) {
  SlotReader reader = own.reader.value_or(SlotReader{});
  Result found = connection.run(
      {.sql = fmt::format("SELECT 'the replication slot ' || s.slot_name || coalesce(', read by process ' || "
                          "s.active_pid || "
                          "' (application ''' || a.application_name || ''')', '') "
                          "FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid "
                          "WHERE s.database = current_database() AND CASE WHEN s.slot_name = $1 "
                          "THEN s.active_pid IS NOT NULL AND (s.active_pid, a.application_name) IS DISTINCT "
                          "FROM ($3::int4, $4) "
                          "ELSE s.slot_name ~ '^ferry_' OR s.plugin = '{}' END "
                          "UNION ALL SELECT 'the publication ' || pubname FROM pg_publication "
                          "WHERE pubname ~ '^ferry_.*_full$' AND pubname <> $2",
                          kTestDecoding),
       .doing = "look up other tasks",
       .parameters = {own.slot, own.publication, std::to_string(reader.pid), reader.application_name}},
      stop);
  if (found.rows() == 0) return std::nullopt;
  return std::string(found.text(0, 0));
}

std::vector<std::string> drop_ddl_artifacts(Connection& connection, const std::string& schema,
                                            std::stop_token stop) {
  std::vector<std::string> removed;
  std::string script = "BEGIN;";
  Triggers triggers = find_triggers(connection, stop);
  auto drop = [&](std::string_view kind, const std::string& name) {
    script += fmt::format("DROP {} {};", kind, name);
  };
  for (const auto& [trigger, name] :
       {std::pair(triggers.ddl, kTrigger), std::pair(triggers.drop, kDropTrigger)}) {
    if (!trigger || trigger->schema != schema || !is_ours(trigger->comment)) continue;
    drop("EVENT TRIGGER", std::string(name));
    removed.push_back(fmt::format("event trigger {}", name));
  }
  Result function = connection.run({.sql = std::string(kFunctionQuery),
                                    .doing = "look up the DDL function",
                                    .parameters = {schema, std::string(kFunction)}},
                                   stop);
  if (function.rows() > 0 && is_ours(function.text(0, 0))) {
    drop("FUNCTION", fmt::format("{}.{}()", quote_identifier(schema), kFunction));
    removed.push_back(fmt::format("function {}.{}", schema, kFunction));
  }
  for (std::string_view name : {kAuditTable, kKeyTable}) {
    if (!look_up_own_table(connection, schema, std::string(name), stop).marked) continue;
    drop("TABLE", quote_table({.schema = schema, .table = std::string(name)}));
    removed.push_back(fmt::format("table {}.{}", schema, name));
  }
  if (removed.empty()) return removed;
  connection.run(script + "COMMIT", "remove the objects of CaptureDdls", stop);
  return removed;
}

std::vector<std::string> ddl_artifact_names(const std::string& schema) {
  return {fmt::format("event trigger {}", kTrigger), fmt::format("event trigger {}", kDropTrigger),
          fmt::format("function {}.{}", schema, kFunction), fmt::format("table {}.{}", schema, kAuditTable),
          fmt::format("table {}.{}", schema, kKeyTable)};
}

}  // namespace ferry::postgres
