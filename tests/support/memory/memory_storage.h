#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "connector/target_journal.h"
#include "model/checkpoint.h"
#include "tests/support/memory/memory_table.h"

namespace ferry::test_support {

// What is durable on an in-memory target: it outlives every MemoryTarget, so that destroying a target without
// flush() is a crash. It holds tables (for a target that keeps its checkpoint with the data) and objects (for
// one that writes files). Thread-safe.
class MemoryStorage {
 public:
  // A target's own objects end so; anything else in a table's folder is of another form.
  static constexpr std::string_view kOwnForm = ".rows";
  static std::string folder_of(const model::TableName& table) {
    return table.schema + '/' + table.table + '/';
  }

  // --- for tests ---

  // The rows that a reader sees: of the table, or of its objects, loads first and then changes as the stream
  // has them. Throws std::logic_error when a change does not fit (a row twice, a row missing): what is stored
  // is wrong.
  std::vector<Row> rows(const model::TableName& table) const;
  // The columns' names, as a reader sees them; empty where there is nothing.
  std::vector<std::string> columns(const model::TableName& table) const;
  // Things that a killed run left half-written for the table.
  std::size_t half_written(const model::TableName& table) const;
  // All of it as text, to compare two moments.
  std::string fingerprint() const;
  // A table with one row that no task made, or an object with none.
  void put_foreign_table(const model::TableVersionPtr& shape, Row row);
  void put_foreign_object(const std::string& key);

  // --- for targets: tables ---

  bool has_table(const model::TableName& table) const;
  void put_table(const model::TableVersionPtr& shape);
  void drop_table(const model::TableName& table);
  void clear_table(const model::TableName& table);
  // What one load wrote; what every load of the task did where no epoch is given.
  void remove_load(const model::TableName& table, std::optional<std::uint64_t> load_epoch);
  // A copy of the table; nothing when there is none.
  std::optional<MemoryTable> copy_of(const model::TableName& table) const;

  struct LoadId {
    model::TableName table;
    std::uint64_t epoch = 0;
    std::size_t slice = 0;
    friend auto operator<=>(const LoadId&, const LoadId&) = default;
  };
  // Rows of a load stand aside until they are published.
  void stage(const LoadId& load, std::vector<Row> rows);
  // Returns the keys of rows that have one of the table's keys already; they are left out.
  std::vector<Row> publish(const LoadId& load, const model::TableVersion& shape);
  void drop_staged(const model::TableName& table, std::optional<std::uint64_t> load_epoch);

  // Runs `change` on the tables and sets the checkpoint in one step.
  void commit(const model::Checkpoint& checkpoint,
              const std::function<void(std::map<model::TableName, MemoryTable>&)>& change);
  std::optional<model::Checkpoint> checkpoint() const;

  // --- for targets: objects ---

  struct ObjectRow {
    RowChange change;
    connector::ChangePoint point;  // Of a change; ignored for loads.
  };
  struct Object {
    connector::ObjectPhase phase = connector::ObjectPhase::kLoad;
    bool complete = false;
    bool foreign = false;
    std::vector<ObjectRow> rows = {};
  };
  // Nobody sees the object's rows before complete_object(). Putting it again replaces it.
  void put_object(const std::string& key, Object object);
  void complete_object(const std::string& key);
  bool has_complete_object(const std::string& key) const;
  bool has_object(const std::string& key) const;
  void remove_object(const std::string& key);
  // Every key that starts so, complete or not, in order.
  std::vector<std::string> keys(const std::string& prefix) const;

 private:
  std::optional<MemoryTable> replay(const model::TableName& table) const;  // With the mutex held.

  mutable std::mutex mutex_;
  std::map<model::TableName, MemoryTable> tables_;
  std::map<LoadId, std::vector<Row>> staged_;
  std::optional<model::Checkpoint> checkpoint_;
  std::map<std::string, Object> objects_;
};

}  // namespace ferry::test_support
