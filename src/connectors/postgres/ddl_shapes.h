#pragma once

#include <cstdint>
#include <stop_token>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "connectors/postgres/catalog.h"
#include "connectors/postgres/client.h"
#include "connectors/postgres/ddl_message.h"
#include "connectors/postgres/settings.h"

namespace ferry::postgres {

// Which tables of what shape have a name at a place in the log, where the catalog only knows how it is now.
// It begins with what the task has kept from the last stream (kept shapes): a table that was renamed, altered
// or dropped while no stream ran is known as it was where the stream goes on. From there on Ferry's event
// trigger tells in the log of each change (told shapes). Used by one thread.
class DdlShapes {
 public:
  // Whether every change of a table from the stream's start on is in the log. If not, a kept shape is only
  // the last that we know, and may be another table's by now.
  enum class Told : std::uint8_t { kAll, kNotAll };

  DdlShapes(const Settings& settings, Control control) : settings_(settings), control_(std::move(control)) {}

  // Forgets all, and begins with the kept shapes; no two have one number or one name.
  void start(const std::vector<model::TableVersionPtr>& kept, Told told);
  // Takes the shape of a message and returns its version.
  model::TableVersionPtr take(const DdlTable& table, std::stop_token stop);
  // Null where the table's shape is neither kept nor told; valid until the table's next, or forget().
  const DescribedTable* find(std::uint64_t oid, std::stop_token stop);
  const DescribedTable* find(const model::TableName& name, std::stop_token stop);
  // The version alone, without asking the server for its types.
  model::TableVersionPtr version(std::uint64_t oid) const;
  model::TableVersionPtr version(const model::TableName& name) const;
  // The kept shape of the table may be of the past: none was told, and not all are.
  bool is_doubtful(std::uint64_t oid) const;
  // It was told that the table is gone or has another name.
  bool has_left(std::uint64_t oid, const model::TableName& name) const;
  // It was told that the table is gone.
  void forget(std::uint64_t oid);
  // What was kept says less than the catalog from now on, unless all is told.
  void forget_doubtful();
  // The same of one table, where the log contradicts it.
  void forget_doubtful(std::uint64_t oid);
  // Counts what was taken and forgotten.
  std::uint64_t changes() const { return changes_; }

 private:
  struct Shape {
    DescribedTable described;
    bool is_kept = false;
    bool has_types = true;
  };

  const DescribedTable* with_types(Shape& shape, std::stop_token stop);
  void set_generated(DescribedTable& table, std::stop_token stop);

  const Settings& settings_;
  const Control control_;
  Told told_ = Told::kNotAll;
  std::unordered_map<std::uint64_t, Shape> shapes_;
  std::unordered_set<std::uint64_t> gone_;  // Tables of the task.
  std::uint64_t changes_ = 0;
};

}  // namespace ferry::postgres
