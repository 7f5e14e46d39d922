#pragma once

#include <cstdint>
#include <map>

#include "connector/task_notes.h"
#include "connectors/postgres/position.h"
#include "model/table_version.h"

namespace ferry::postgres {

// Where in the log the tables stand that the watch has found, and said to be new outside of any transaction,
// until a checkpoint is past that. What the log says of a table before is in its copy. Kept in the task's
// notes, because a stream that starts before that place reads it again. Used by one thread.
class NewTables {
 public:
  explicit NewTables(connector::TaskNotes& notes) : notes_(notes) {}

  // Reads what an earlier stream noted and the checkpoint at `from` is not past: the log's end when each
  // table had been published.
  std::map<std::uint32_t, Lsn> start(Lsn from);
  // Durable when it returns.
  void note(std::uint32_t oid, Lsn published);
  // After each look at the catalog: forgets those that a checkpoint at `acknowledged` is past, and those that
  // are not among the `listed` any more.
  void settle(Lsn acknowledged, const std::map<std::uint32_t, model::TableName>& listed);

 private:
  void write();

  connector::TaskNotes& notes_;
  std::map<std::uint32_t, Lsn> noted_;
};

}  // namespace ferry::postgres
