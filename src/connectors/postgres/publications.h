#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/client.h"
#include "model/table_version.h"

namespace ferry::postgres {

// The two publications of one task. A publication that publishes updates makes every UPDATE and DELETE of a
// table without replica identity fail in the user's own application, so such tables stand in one of their own
// that publishes inserts and truncates only. Both name their tables one by one for the same reason.
struct PublicationNames {
  std::string full;
  std::string inserts;
};

PublicationNames publication_names(std::string_view task_name);

// Drops what an earlier call left and makes both anew, the two in one transaction. A slot that is to use them
// must be made afterwards: the log before a publication knows nothing of it.
void make_publications(Connection& connection, const PublicationNames& names,
                       const std::vector<model::TableName>& tables, std::stop_token stop);

// For publications that somebody else made under these names: puts those of the tables into them that are
// missing.
void complete_publications(Connection& connection, const PublicationNames& names,
                           const std::vector<model::TableName>& tables, std::stop_token stop);

// A table of the database as the publications see it.
struct PublishedTable {
  enum class In : std::uint8_t { kNeither, kFull, kInserts };

  std::uint32_t oid = 0;
  model::TableName name;
  bool permanent = true;      // Unlogged and temporary tables cannot be published.
  bool has_identity = false;  // The log names its old rows.
  In in = In::kNeither;

  In belongs_in() const { return has_identity ? In::kFull : In::kInserts; }
};
std::vector<PublishedTable> list_published(Connection& connection, const PublicationNames& names,
                                           std::stop_token stop);

// The one table with this pg_class.oid; nothing when there is none.
std::optional<PublishedTable> find_published(Connection& connection, const PublicationNames& names,
                                             std::uint32_t oid, std::stop_token stop);

// Puts the table where it belongs, in one transaction. A table that was in neither is locked against writers
// for as long as those take that write to it now, so that every transaction that began before is over when
// its changes start to be published. Returns false when they took longer than a second: to be tried again.
bool publish_table(Connection& connection, const PublicationNames& names, const PublishedTable& table,
                   std::stop_token stop);

bool publications_exist(Connection& connection, const PublicationNames& names, std::stop_token stop);

// Whether the two publish other changes than make_publications() asked for: other operations, or of a table
// only some rows or columns.
bool publications_leave_out(Connection& connection, const PublicationNames& names, std::stop_token stop);

// Returns the names of those it dropped.
std::vector<std::string> drop_publications(Connection& connection, const PublicationNames& names,
                                           std::stop_token stop);

}  // namespace ferry::postgres
