#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

#include "connector/target_journal.h"
#include "model/change_batch.h"

namespace ferry::engine {

// Which cell of which change was looked up. The table is the target's.
struct LookedUpCell {
  connector::ChangePoint point;
  std::uint32_t column = 0;

  friend auto operator<=>(const LookedUpCell&, const LookedUpCell&) = default;
};

// Values that the log did not send and that were looked up in the source, kept until the object that holds
// them is done: after a crash the same object must get the same values, and the source may have others by
// then. One file per target table in `folder`, in the form of docs/formats/state.md. Thread-safe.
class LookedUpValues {
 public:
  struct Value {
    model::CellState state = model::CellState::kNotSent;  // kNotSent: the source had no such row.
    std::string bytes;
  };

  explicit LookedUpValues(std::filesystem::path folder);
  ~LookedUpValues();

  // What a killed run had looked up for the cell.
  std::optional<Value> find(const model::TableName& table, const LookedUpCell& cell);
  // Keeps a value; durable after sync().
  void remember(const model::TableName& table, const LookedUpCell& cell, const Value& value);
  // The values of the table, of all tables where its name is empty, are durable when it returns.
  void sync(const model::TableName& table);
  // The object whose last change is at `last` is done: values up to there are needed no more. An empty name
  // is all tables, and then whole transactions.
  void forget(const model::TableName& table, const connector::ChangePoint& last);

 private:
  class TableFile;

  TableFile& file_of(const model::TableName& table);

  const std::filesystem::path folder_;
  std::mutex mutex_;  // Guards files_ and what is in them.
  std::map<model::TableName, std::unique_ptr<TableFile>> files_;
};

}  // namespace ferry::engine
