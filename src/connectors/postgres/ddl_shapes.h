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

  // Takes the shape of a message and returns its version; `connection` is for types.
  model::TableVersionPtr take(const DdlTable& table, Connection& connection, std::stop_token stop);
  // Null where no message has told the table's shape; valid until the table's next, or forget().
  const DescribedTable* find(std::uint32_t oid) const;
  const DescribedTable* find(const model::TableName& name) const;
  void forget(std::uint32_t oid);
  // Counts what was taken and forgotten.
  std::uint64_t changes() const { return changes_; }

 private:
  const Settings& settings_;
  std::unordered_map<std::uint32_t, DescribedTable> shapes_;
  std::uint64_t changes_ = 0;
};

}  // namespace ferry::postgres
