#include "connectors/postgres/publications.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "connectors/postgres/catalog.h"

namespace ferry::postgres {
namespace {

using model::TableName;

// Tables that can be published, and whether the log names their old rows: by a key that is checked at once, or whole.
constexpr std::string_view kIdentityQuery = R"(
SELECT n.nspname, c.relname, c.relpersistence,
       c.relreplident = 'f' OR EXISTS (
         SELECT 1 FROM pg_index i
         WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
           AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r')";

struct Lists {
  std::vector<TableName> full;
  std::vector<TableName> inserts;
};

Lists sort_tables(Connection& connection, const std::vector<TableName>& tables, std::stop_token stop) {
  std::set<TableName> wanted(tables.begin(), tables.end());
  Result found = connection.run(std::string(kIdentityQuery), "look up replica identities", stop);
  Lists lists;
  for (int i = 0; i < found.rows(); ++i) {
    TableName name{.schema = std::string(found.text(i, 0)), .table = std::string(found.text(i, 1))};
    if (!wanted.contains(name)) continue;
    if (found.text(i, 2) != "p") {
      base::log_warning(base::kSourceCapture, "table {} is UNLOGGED or temporary: its changes are not captured",
                        to_string(name));
      continue;
    }
    if (found.boolean(i, 3)) {
      lists.full.push_back(std::move(name));
      continue;
    }
    base::log_warning(base::kSourceCapture,
                      "table {} has no primary key and no replica identity: only inserts and truncates are captured",
                      to_string(name));
    lists.inserts.push_back(std::move(name));
  }
  return lists;
}

enum class Publishes { kAll, kInserts };

void make(Connection& connection, const std::string& name, const std::vector<TableName>& tables, Publishes publishes,
          std::stop_token stop) {
  int major = connection.server_major();
  std::string list;
  // ONLY: the children of an inheritance parent are tables of their own.
  for (const TableName& table : tables) list += (list.empty() ? " FOR TABLE ONLY " : ", ONLY ") + quote_table(table);
  std::string operations = publishes == Publishes::kAll ? "insert, update, delete" : "insert";
  if (major >= 11) operations += ", truncate";
  std::string options = fmt::format("publish = '{}'", operations);
  if (major >= 18) options += ", publish_generated_columns = stored";
  connection.run(fmt::format("CREATE PUBLICATION {}{} WITH ({})", quote_identifier(name), list, options),
                 fmt::format("make the publication {}", name), stop);
}

}  // namespace

PublicationNames publication_names(std::string_view task_name) {
  return {.full = fmt::format("ferry_{}_full", task_name), .inserts = fmt::format("ferry_{}_ins", task_name)};
}

void make_publications(Connection& connection, const PublicationNames& names, const std::vector<TableName>& tables,
                       std::stop_token stop) {
  drop_publications(connection, names, stop);
  Lists lists = sort_tables(connection, tables, stop);
  make(connection, names.full, lists.full, Publishes::kAll, stop);
  make(connection, names.inserts, lists.inserts, Publishes::kInserts, stop);
}

bool publications_exist(Connection& connection, const PublicationNames& names, std::stop_token stop) {
  return connection
             .run({.sql = "SELECT 1 FROM pg_publication WHERE pubname IN ($1, $2)",
                   .doing = "look up the publications",
                   .parameters = {names.full, names.inserts}},
                  stop)
             .rows() == 2;
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
