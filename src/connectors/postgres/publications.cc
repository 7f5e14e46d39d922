#include "connectors/postgres/publications.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"
#include "base/log.h"
#include "connectors/postgres/catalog.h"

namespace ferry::postgres {
namespace {

using model::TableName;

// All tables, whether the log names their old rows (by a key that is checked at once, or whole), and where
// they are.
constexpr std::string_view kTablesQuery = R"(
SELECT c.oid, n.nspname, c.relname, c.relpersistence = 'p',
       c.relreplident = 'f' OR EXISTS (
         SELECT 1 FROM pg_index i
         WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
           AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)),
       coalesce((SELECT min(CASE p.pubname WHEN $1 THEN 1 ELSE 2 END)
                 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                 WHERE r.prrelid = c.oid AND p.pubname IN ($1, $2)), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_(toast|temp)' AND c.relname !~ '^awsdms_')";

// How long one attempt at a lock may stand in the way of the sessions that queue behind it.
constexpr int kLockAttemptMs = 1000;

std::vector<PublishedTable> read_published(Connection& connection, const Statement& query,
                                           std::stop_token stop) {
  Result found = connection.run(query, stop);
  std::vector<PublishedTable> tables;
  tables.reserve(static_cast<std::size_t>(found.rows()));
  for (int i = 0; i < found.rows(); ++i) {
    tables.push_back(
        {.oid = static_cast<std::uint32_t>(found.integer(i, 0)),
         .name = {.schema = std::string(found.text(i, 1)), .table = std::string(found.text(i, 2))},
         .permanent = found.boolean(i, 3),
         .has_identity = found.boolean(i, 4),
         .in = static_cast<PublishedTable::In>(found.integer(i, 5))});
  }
  return tables;
}

struct Lists {
  std::vector<TableName> full;
  std::vector<TableName> inserts;
};

Lists sort_tables(Connection& connection, const PublicationNames& names, const std::vector<TableName>& tables,
                  std::stop_token stop) {
  std::set<TableName> wanted(tables.begin(), tables.end());
  Lists lists;
  for (PublishedTable& table : list_published(connection, names, stop)) {
    if (!wanted.contains(table.name)) continue;
    if (!table.permanent) {
      base::log_for_table(base::Severity::kWarning, base::kSourceCapture,
                          "table {} is UNLOGGED or temporary: its changes are not captured",
                          to_string(table.name));
      continue;
    }
    if (table.has_identity) {
      lists.full.push_back(std::move(table.name));
      continue;
    }
    base::log_for_table(
        base::Severity::kWarning, base::kSourceCapture,
        "table {} has no primary key and no replica identity: only inserts and truncates are captured",
        to_string(table.name));
    lists.inserts.push_back(std::move(table.name));
  }
  return lists;
}

enum class Publishes { kAll, kInserts };

std::string create_statement(const Connection& connection, const std::string& name,
                             const std::vector<TableName>& tables, Publishes publishes) {
  int major = connection.server_major();
  std::string list;
  // ONLY: the children of an inheritance parent are tables of their own.
  for (const TableName& table : tables) {
    list += (list.empty() ? " FOR TABLE ONLY " : ", ONLY ") + quote_table(table);
  }
  std::string operations = publishes == Publishes::kAll ? "insert, update, delete" : "insert";
  if (major >= 11) operations += ", truncate";
  std::string options = fmt::format("publish = '{}'", operations);
  if (major >= 18) options += ", publish_generated_columns = stored";
  return fmt::format("CREATE PUBLICATION {}{} WITH ({});", quote_identifier(name), list, options);
}

}  // namespace

PublicationNames publication_names(std::string_view task_name) {
  return {.full = fmt::format("ferry_{}_full", task_name), .inserts = fmt::format("ferry_{}_ins", task_name)};
}

void make_publications(Connection& connection, const PublicationNames& names,
                       const std::vector<TableName>& tables, std::stop_token stop) {
  drop_publications(connection, names, stop);
  Lists lists = sort_tables(connection, names, tables, stop);
  connection.run(create_statement(connection, names.full, lists.full, Publishes::kAll) +
                     create_statement(connection, names.inserts, lists.inserts, Publishes::kInserts),
                 fmt::format("make the publications {} and {}", names.full, names.inserts), stop);
}

void complete_publications(Connection& connection, const PublicationNames& names,
                           const std::vector<TableName>& tables, std::stop_token stop) {
  base::log_info(base::kSourceCapture, "the publications {} and {} were there before and are used",
                 names.full, names.inserts);
  std::set<TableName> wanted(tables.begin(), tables.end());
  for (const PublishedTable& table : list_published(connection, names, stop)) {
    if (!wanted.contains(table.name) || !table.permanent || table.in == table.belongs_in()) continue;
    while (!publish_table(connection, names, table, stop)) {
    }
  }
}

std::vector<PublishedTable> list_published(Connection& connection, const PublicationNames& names,
                                           std::stop_token stop) {
  return read_published(connection,
                        {.sql = std::string(kTablesQuery),
                         .doing = "look up the published tables",
                         .parameters = {names.full, names.inserts}},
                        stop);
}

std::optional<PublishedTable> find_published(Connection& connection, const PublicationNames& names,
                                             std::uint32_t oid, std::stop_token stop) {
  auto found = read_published(connection,
                              {.sql = std::string(kTablesQuery) + " AND c.oid = $3",
                               .doing = "look up a published table",
                               .parameters = {names.full, names.inserts, std::to_string(oid)}},
                              stop);
  return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

bool publish_table(Connection& connection, const PublicationNames& names, const PublishedTable& table,
                   std::stop_token stop) {
  using In = PublishedTable::In;
  std::string quoted = quote_table(table.name);
  const std::string& to = table.belongs_in() == In::kFull ? names.full : names.inserts;
  std::string sql = fmt::format("BEGIN; SET LOCAL lock_timeout = {}; ", kLockAttemptMs);
  if (table.in == In::kNeither) {
    sql += fmt::format("LOCK TABLE ONLY {} IN SHARE MODE; ", quoted);
  } else {
    const std::string& from = table.in == In::kFull ? names.full : names.inserts;
    sql += fmt::format("ALTER PUBLICATION {} DROP TABLE ONLY {}; ", quote_identifier(from), quoted);
  }
  sql += fmt::format("ALTER PUBLICATION {} ADD TABLE ONLY {}; COMMIT", quote_identifier(to), quoted);
  try {
    connection.run({.sql = std::move(sql),
                    .doing = fmt::format("publish the table {}", to_string(table.name)),
                    .concern = Concern::kTable},
                   stop);
    return true;
  } catch (const base::Error& error) {
    if (error.kind() != base::ErrorKind::kSourceTable) throw;
    connection.run("ROLLBACK", "leave a transaction", stop);
    if (error.vendor_code() != sqlstate::kLockNotAvailable) throw;
    return false;
  }
}

bool publications_exist(Connection& connection, const PublicationNames& names, std::stop_token stop) {
  return connection
             .run({.sql = "SELECT 1 FROM pg_publication WHERE pubname IN ($1, $2)",
                   .doing = "look up the publications",
                   .parameters = {names.full, names.inserts}},
                  stop)
             .rows() == 2;
}

bool publications_leave_out(Connection& connection, const PublicationNames& names, std::stop_token stop) {
  int major = connection.server_major();
  return connection
      .run({.sql = fmt::format(
                "SELECT EXISTS (SELECT 1 FROM pg_publication p WHERE p.pubname IN ($1, $2) AND NOT "
                "(p.pubinsert {} "
                "AND (p.pubname <> $1 OR p.pubupdate AND p.pubdelete))) {}",
                major >= 11 ? "AND p.pubtruncate" : "",
                major >= 15
                    ? "OR EXISTS (SELECT 1 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = "
                      "r.prpubid "
                      "WHERE p.pubname IN ($1, $2) AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL))"
                    : ""),
            .doing = "look at what the publications publish",
            .parameters = {names.full, names.inserts}},
           stop)
      .boolean(0, 0);
}

std::vector<std::string> drop_publications(Connection& connection, const PublicationNames& names,
                                           std::stop_token stop) {
  std::vector<std::string> dropped;
  for (const std::string& name : {names.full, names.inserts}) {
    bool exists = connection
                      .run({.sql = "SELECT 1 FROM pg_publication WHERE pubname = $1",
                            .doing = "look up the publications",
                            .parameters = {name}},
                           stop)
                      .rows() > 0;
    if (!exists) continue;
    connection.run(fmt::format("DROP PUBLICATION {}", quote_identifier(name)),
                   fmt::format("drop the publication {}", name), stop);
    dropped.push_back(name);
  }
  return dropped;
}

}  // namespace ferry::postgres
