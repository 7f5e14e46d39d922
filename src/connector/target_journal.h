#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/stream_position.h"
#include "model/table_version.h"

namespace ferry::connector {

// A change's place in the stream as one table sees it: the transaction, and the change's number among that
// table's changes in it, from 0. A restart counts the same way, whatever other tables do. A kSchemaChange has
// no number of its own but that of the change after it: a source may announce a table's shape anew after
// every start.
struct ChangePoint {
  model::StreamPosition commit;
  std::uint64_t ordinal = 0;

  friend auto operator<=>(const ChangePoint&, const ChangePoint&) = default;
};

enum class ObjectPhase : std::uint8_t { kLoad, kChanges };

// One object a target wrote or is about to write. For kChanges it is the file intent: key and cut are stored
// before the object is written, so that after any crash the same rows go into the same object.
struct ObjectRecord {
  model::TableName table;  // On the target. Empty for an object with changes of all tables.
  ObjectPhase phase = ObjectPhase::kLoad;
  std::uint64_t load_epoch = 0;  // kLoad only.
  std::string key;               // The object's full key in its bucket or folder.
  ChangePoint first;             // kChanges only, as are the next two.
  ChangePoint last;
  std::int64_t rows = 0;
  bool done = false;  // The object is durable under its key.
};

// What an object-writing target must find again after a crash; kept in the task's state. Thread-safe; every
// change is durable when the call returns.
class TargetJournal {
 public:
  virtual ~TargetJournal() = default;

  // Every object of the table in the order of intend().
  virtual std::vector<ObjectRecord> objects(const model::TableName& table) const = 0;
  // The kChanges object of the table with the greatest `last`, done or not; also after forget() of its key.
  virtual std::optional<ObjectRecord> last_changes(const model::TableName& table) const = 0;

  // The object is about to be written. A key already listed is listed anew.
  virtual void intend(const ObjectRecord& object) = 0;
  // The object is durable under its key.
  virtual void done(const model::TableName& table, const std::string& key) = 0;
  // The object has been removed.
  virtual void forget(const model::TableName& table, const std::string& key) = 0;
  // All kLoad objects of the table with this epoch are gone.
  virtual void forget_load(const model::TableName& table, std::uint64_t load_epoch) = 0;
};

}  // namespace ferry::connector
