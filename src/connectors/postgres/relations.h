#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "connectors/postgres/catalog.h"
#include "connectors/postgres/pgoutput.h"
#include "connectors/postgres/types.h"
#include "model/table_version.h"

namespace ferry::postgres {

// A table of the stream as its last RELATION message describes it, ready for its rows to be read.
struct StreamTable {
  struct Column {
    // Its place in the stream's rows; below 0 where the stream leaves the column out (a generated one).
    std::int32_t place = -1;
    bool in_identity = false;
    std::uint32_t type_oid = 0;
    std::int32_t typmod = -1;
    ColumnCodec codec;
    TextReader read = nullptr;
  };

  model::TableVersionPtr version;
  std::vector<Column> columns;  // One per column of `version`.
  std::size_t row_size = 0;     // Values in a row of the stream.
  bool announced = false;       // The version has been yielded as a schema change.
  std::string message;          // The RELATION message that made it.
};

// The tables of one stream by pg_class.oid. Used by one thread.
//
// A RELATION message says names, types and identity as they were at its place in the log. It does not say
// column numbers, key order, nullability or generated columns. The event trigger's message does, if there is
// one, and the catalog does, but as of now, which may be later. So each is believed only where it agrees with
// the RELATION message in every column.
class Relations {
 public:
  explicit Relations(const Settings& settings) : settings_(settings) {}

  // Whether the message says nothing new.
  bool knows(std::uint32_t oid, std::string_view message) const;
  // Takes a RELATION message. `by_trigger` is the shape that the event trigger put into the log before it, or
  // null; `connection` is for the catalog.
  void take(const pgoutput::Relation& relation, std::string_view message, const DescribedTable* by_trigger,
            Connection& connection, std::stop_token stop);
  // The version is the table's from here on, as the event trigger says. False where it is already, so that
  // there is nothing to yield; else it counts as yielded. Its rows need a RELATION message all the same.
  bool announce(const model::TableVersionPtr& version);
  bool has(std::uint32_t oid) const { return tables_.contains(oid) || announced_.contains(oid); }
  // The version that the table had last; null where the stream has not told.
  model::TableVersionPtr version_of(std::uint32_t oid) const;
  void forget(std::uint32_t oid);
  // Throws Error(kSourceProtocol) where no message has described the table.
  StreamTable& find(std::uint32_t oid);

 private:
  StreamTable from_catalog(const pgoutput::Relation& relation, const DescribedTable& table) const;
  StreamTable from_message(const pgoutput::Relation& relation, Connection& connection, std::stop_token stop);

  const Settings& settings_;
  std::unordered_map<std::uint32_t, StreamTable> tables_;
  std::unordered_map<std::uint32_t, model::TableVersionPtr> announced_;  // By the event trigger.
};

}  // namespace ferry::postgres
