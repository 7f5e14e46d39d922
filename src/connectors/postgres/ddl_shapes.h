#pragma once

#include <cstdint>
#include <stop_token>
#include <unordered_map>

#include "connectors/postgres/catalog.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/ddl_message.h"
#include "connectors/postgres/settings.h"

namespace ferry::postgres {

// The tables' shapes as Ferry's event trigger has put them into the log, by pg_class.oid: each as it is from
// its place in the log on, where the catalog only knows how it is now. Used by one thread.
class DdlShapes {
 public:
  explicit DdlShapes(const Settings& settings) : settings_(settings) {}

  // Takes the shape of a message; `connection` is for types. What it returns lives until the table's next.
  const DescribedTable& take(const DdlTable& table, Connection& connection, std::stop_token stop);
  // Null where no message has told the table's shape.
  const DescribedTable* find(std::uint32_t oid) const;
  void forget(std::uint32_t oid) { shapes_.erase(oid); }

 private:
  const Settings& settings_;
  std::unordered_map<std::uint32_t, DescribedTable> shapes_;
};

}  // namespace ferry::postgres
