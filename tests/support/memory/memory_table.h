#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/change_batch.h"
#include "tests/support/memory/memory_row.h"

namespace ferry::test_support {

// A change of a target's rows that owns its values.
struct RowChange {
  model::ChangeKind kind = model::ChangeKind::kInsert;
  model::TableVersionPtr table;
  Row before;
  Row after;
};
RowChange row_change_of(const model::Change& change);
// The row the change is about: the new one where there is one, with the old key where that differs.
Row subject_of(const RowChange& change);

// The rows of one table as changes make them, and where each comes from. A value; not thread-safe.
class MemoryTable {
 public:
  // Rows loaded carry their load's epoch, rows of the stream 0, rows that the user put there kForeign.
  static constexpr std::uint64_t kOfStream = 0;
  static constexpr std::uint64_t kForeign = UINT64_MAX;

  explicit MemoryTable(model::TableVersionPtr shape) : shape_(std::move(shape)) {}

  const model::TableVersionPtr& shape() const { return shape_; }
  // Rows are carried over column by column.
  void set_shape(const model::TableVersionPtr& shape);

  // Each answers what is wrong where the change cannot be made; then nothing was done.
  std::optional<std::string> insert(const model::TableVersion& shape, const Row& row, std::uint64_t origin);
  std::optional<std::string> apply(const RowChange& change);

  void clear();
  void remove_load(std::optional<std::uint64_t> load_epoch);  // Every load's rows where no epoch is given.
  std::vector<Row> rows() const;
  bool has_rows_of(std::uint64_t origin) const;

 private:
  struct Stored {
    Row row;
    std::uint64_t origin;
  };

  std::optional<std::uint64_t> find(const RowChange& change) const;
  void erase(std::uint64_t number);
  void index_again();

  model::TableVersionPtr shape_;
  std::map<std::uint64_t, Stored> rows_;  // In order of arrival.
  std::uint64_t next_ = 1;
  std::unordered_map<std::string, std::set<std::uint64_t>> index_;
};

}  // namespace ferry::test_support
