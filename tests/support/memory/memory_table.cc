#include "tests/support/memory/memory_table.h"

#include <utility>

namespace ferry::test_support {
namespace {

bool is_sent(const Value& value) { return value.state != model::CellState::kNotSent; }

}  // namespace

RowChange row_change_of(const model::Change& change) {
  return {change.kind, *change.table, row_of(change.before), row_of(change.after)};
}

Row subject_of(const RowChange& change) {
  if (change.before.empty()) return change.after;
  Row subject = change.after.empty() ? change.before : change.after;
  for (std::uint32_t column : identity_columns(*change.table)) {
    if (is_sent(change.before[column])) subject[column] = change.before[column];
  }
  return subject;
}

void MemoryTable::set_shape(const model::TableVersionPtr& shape) {
  for (auto& [number, stored] : rows_) stored.row = projected(stored.row, *shape_, *shape);
  shape_ = shape;
  index_again();
}

void MemoryTable::index_again() {
  index_.clear();
  for (const auto& [number, stored] : rows_) index_[identity_of(*shape_, stored.row)].insert(number);
}

std::optional<std::string> MemoryTable::insert(const model::TableVersion& shape, const Row& row,
                                               std::uint64_t origin) {
  Row stored = projected(row, shape, *shape_);
  auto identity = identity_of(*shape_, stored);
  if (shape_->identity == model::RowIdentity::kKey && index_.contains(identity))
    return "there is a row with this key";
  index_[identity].insert(next_);
  rows_.emplace(next_++, Stored{std::move(stored), origin});
  return std::nullopt;
}

std::optional<std::uint64_t> MemoryTable::find(const RowChange& change) const {
  auto found = index_.find(identity_of(*shape_, projected(subject_of(change), *change.table, *shape_)));
  if (found == index_.end()) return std::nullopt;
  return *found->second.begin();
}

void MemoryTable::erase(std::uint64_t number) {
  auto identity = identity_of(*shape_, rows_.at(number).row);
  auto found = index_.find(identity);
  found->second.erase(number);
  if (found->second.empty()) index_.erase(found);
  rows_.erase(number);
}

std::optional<std::string> MemoryTable::apply(const RowChange& change) {
  if (change.kind == model::ChangeKind::kInsert) return insert(*change.table, change.after, kOfStream);
  auto number = find(change);
  if (!number) return "there is no such row";
  if (change.kind == model::ChangeKind::kDelete) {
    erase(*number);
    return std::nullopt;
  }
  Row old = rows_.at(*number).row;
  Row after = projected(change.after, *change.table, *shape_);
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (!is_sent(after[i])) after[i] = old[i];
  }
  bool new_identity = identity_of(*shape_, after) != identity_of(*shape_, old);
  bool taken = shape_->identity == model::RowIdentity::kKey && index_.contains(identity_of(*shape_, after));
  if (new_identity && taken) return "there is a row with the new key";
  erase(*number);
  return insert(*shape_, after, kOfStream);
}

void MemoryTable::clear() {
  rows_.clear();
  index_.clear();
}

void MemoryTable::remove_load(std::optional<std::uint64_t> load_epoch) {
  std::erase_if(rows_, [&](const auto& entry) {
    std::uint64_t origin = entry.second.origin;
    if (load_epoch) return origin == *load_epoch;
    return origin != kOfStream && origin != kForeign;
  });
  index_again();
}

std::vector<Row> MemoryTable::rows() const {
  std::vector<Row> rows;
  for (const auto& [number, stored] : rows_) rows.push_back(stored.row);
  return rows;
}

bool MemoryTable::has_rows_of(std::uint64_t origin) const {
  for (const auto& [number, stored] : rows_) {
    if (stored.origin == origin) return true;
  }
  return false;
}

}  // namespace ferry::test_support
