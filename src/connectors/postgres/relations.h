#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "connectors/postgres/catalog.h"
#include "connectors/postgres/ddl_shapes.h"
#include "connectors/postgres/logged_row.h"
#include "connectors/postgres/pgoutput.h"
#include "connectors/postgres/types.h"
#include "model/table_version.h"

namespace ferry::postgres {

// A table of the stream at one place of the log, ready for its rows to be read. Immutable once shared.
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
  bool whole_old_rows = false;  // REPLICA IDENTITY FULL.
  bool by_catalog = false;      // The catalog agreed with the stream when it was made.
};
using StreamTablePtr = std::shared_ptr<const StreamTable>;

// Makes the table that `relation` describes. A relation says names, types and identity as they were at its
// place in the log. It does not say column numbers, key order, nullability or generated columns; the catalog
// (`now`) does, but as of now, which may be later, or earlier than a transaction that is in progress. So the
// catalog is believed only where it agrees in every column. Where it does not, a column that `known`, the
// table's last shape, has too keeps all that is known of it. A table that is equal to the known one keeps its
// version. `connection` is for types.
//
// Where columns are known by another shape alone, numbers out of order tell that names went round: then none
// is believed.
StreamTablePtr make_stream_table(const Relation& relation, const std::optional<DescribedTable>& now,
                                 const StreamTablePtr& known, const Settings& settings,
                                 Connection& connection, std::stop_token stop);

// The table of a shape that was kept or told, to be the known one.
StreamTablePtr stream_table_of(const DescribedTable& table);

// The tables of a pgoutput stream by pg_class.oid. Used by one thread.
//
// A RELATION message says names, types and identity as they were at its place in the log. It does not say
// column numbers, key order, nullability or generated columns. The event trigger's message before it does, if
// there is one, or the shape that the task has kept, and the catalog does, but as of now. So each is believed
// only where it agrees with the RELATION message in every column.
//
// What a transaction in progress shows of a table is its own until it commits: the server describes the table
// again to the others, and to the transaction itself after a subtransaction was rolled back.
class Relations {
 public:
  Relations(const Settings& settings, Control control, DdlShapes& shapes)
      : settings_(settings), control_(std::move(control)), shapes_(shapes) {}

  // Takes a description, from within a piece of the transaction `streamed_by`, or 0.
  void take(const pgoutput::Description& description, std::uint32_t streamed_by, std::stop_token stop);
  // Takes the names that the event trigger's messages have told: before PostgreSQL 18 the server does not
  // describe a table again whose schema was renamed.
  void take_told_names();
  // Throws Error(kSourceProtocol) where no description has come.
  const StreamTable& find(std::uint32_t oid, std::uint32_t streamed_by) const;

  // The transaction has committed: what it showed holds for all, unless the table was described to them
  // since. Where the catalog could not yet agree with it, it is asked again.
  void commit(std::uint32_t streamed_by, std::stop_token stop);
  // It, or a part of it, was rolled back.
  void roll_back(std::uint32_t streamed_by) { streamed_.erase(streamed_by); }

 private:
  struct Described {
    StreamTablePtr table;
    std::string bytes;            // The description that made it,
    model::TableVersionPtr told;  // and the event trigger's message that was the table's last.
    std::uint64_t order = 0;      // When it was taken.
  };
  using ByOid = std::unordered_map<std::uint32_t, Described>;

  StreamTablePtr describe(const Relation& relation, const StreamTablePtr& known, std::stop_token stop) const;
  const Described* current(std::uint32_t oid, std::uint32_t streamed_by) const;

  const Settings& settings_;
  const Control control_;
  DdlShapes& shapes_;
  std::uint64_t shapes_seen_ = 0;  // changes() of the shapes when their names were last taken.
  ByOid tables_;
  std::unordered_map<std::uint32_t, ByOid> streamed_;  // By transaction.
  std::uint64_t taken_ = 0;
};

}  // namespace ferry::postgres
