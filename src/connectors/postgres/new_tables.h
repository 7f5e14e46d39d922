#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "connector/task_notes.h"
#include "connectors/postgres/position.h"

namespace ferry::postgres {

// The tables that the watch has published and said to be new, outside of any transaction, until a checkpoint
// is past that: kept in the task's notes, so that they are said again after a crash in between. Used by one
// thread.
class NewTables {
 public:
  explicit NewTables(connector::TaskNotes& notes) : notes_(notes) {}

  // Reads what an earlier stream noted and the checkpoint at `from` is not past: the log's end when each
  // table had been published, 0 where that is unknown.
  std::map<std::uint32_t, Lsn> start(Lsn from);
  // Durable when it returns. First before the table is published, with 0, then with the log's end behind
  // that.
  void note(std::uint32_t oid, Lsn published);
  // Whether the table is one that an earlier stream noted; true once.
  bool again(std::uint32_t oid) { return earlier_.erase(oid) > 0; }
  void forget(std::uint32_t oid);
  // After each look at the catalog: forgets those that a checkpoint at `acknowledged` is past, and those of
  // an earlier stream that are gone.
  void settle(Lsn acknowledged);

 private:
  void write();

  connector::TaskNotes& notes_;
  std::map<std::uint32_t, Lsn> noted_;
  std::set<std::uint32_t> earlier_;
};

}  // namespace ferry::postgres
