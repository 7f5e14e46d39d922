#pragma once

#include <cstdint>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "connectors/postgres/catalog.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/ddl_message.h"
#include "connectors/postgres/settings.h"

namespace ferry::postgres {

// The tables' shapes as Ferry's event trigger has put them into the log, by pg_class.oid: each as it is from
// its place in the log on, where the catalog only knows how it is now. Those of a transaction in pieces are
// its own until it commits. Used by one thread.
class DdlShapes {
 public:
  explicit DdlShapes(const Settings& settings) : settings_(settings) {}

  // Takes the shape of a message, from within a piece of the transaction `streamed_by` and its
  // subtransaction, or 0; `connection` is for types. Returns its version.
  model::TableVersionPtr take(const DdlTable& table, std::uint32_t streamed_by, std::uint32_t subtransaction,
                              Connection& connection, std::stop_token stop);
  // Null where no message has told the table's shape; valid until the next call that is not const.
  const DescribedTable* find(std::uint32_t oid, std::uint32_t streamed_by) const;
  // The same by the table's name, of what has committed.
  const DescribedTable* find(const model::TableName& name) const;
  void forget(std::uint32_t oid);
  // Counts what has changed of those that have committed.
  std::uint64_t changes() const { return changes_; }

  void commit(std::uint32_t streamed_by);
  // The transaction, or its subtransaction where the two differ.
  void roll_back(std::uint32_t streamed_by, std::uint32_t subxid);

 private:
  struct Told {
    std::uint32_t subtransaction = 0;
    DescribedTable table;
  };

  const Settings& settings_;
  std::unordered_map<std::uint32_t, DescribedTable> shapes_;
  std::uint64_t changes_ = 0;
  std::unordered_map<std::uint32_t, std::vector<Told>> streamed_;  // By transaction, in the log's order.
};

}  // namespace ferry::postgres
