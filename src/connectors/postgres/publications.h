#pragma once

#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/client.h"
#include "model/table_version.h"

namespace ferry::postgres {

// The two publications of one task. A publication that publishes updates makes every UPDATE and DELETE of a table
// without replica identity fail in the user's own application, so such tables stand in one of their own that
// publishes inserts and truncates only. Both name their tables one by one for the same reason.
struct PublicationNames {
  std::string full;
  std::string inserts;
};

PublicationNames publication_names(std::string_view task_name);

// Drops what an earlier call left and makes both anew, each in a transaction of its own. A slot that is to use them
// must be made afterwards: the log before a publication knows nothing of it.
void make_publications(Connection& connection, const PublicationNames& names,
                       const std::vector<model::TableName>& tables, std::stop_token stop);

bool publications_exist(Connection& connection, const PublicationNames& names, std::stop_token stop);

// Returns the names of those it dropped.
std::vector<std::string> drop_publications(Connection& connection, const PublicationNames& names,
                                           std::stop_token stop);

}  // namespace ferry::postgres
