#include "model/change_batch.h"

#include <cassert>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"

namespace ferry::model {
namespace {

// The record's head; the cells follow it. docs/formats/changes.md describes the form.
struct RecordHead {
  std::uint8_t kind;
  std::uint8_t images;
  std::uint16_t unused;
  std::uint32_t table;  // 1 + index into the batch's tables, 0 = none.
  std::uint32_t stamp;  // 1 + index into the batch's stamps, 0 = none.
  std::uint32_t unused2;
  std::uint64_t transaction;
  std::uint64_t subtransaction;
};
static_assert(sizeof(RecordHead) == 32);

constexpr std::size_t kCellHeadSize = 5;  // State and length.

}  // namespace

void ChangeBatch::start(ChangeKind kind, std::uint64_t transaction, std::uint64_t subtransaction,
                        std::uint32_t table, std::uint32_t stamp, Images images) {
  assert(open_cell_at_ == 0);
  base::append_native(arena_, RecordHead{.kind = static_cast<std::uint8_t>(kind),
                                         .images = static_cast<std::uint8_t>(images),
                                         .unused = 0,
                                         .table = table,
                                         .stamp = stamp,
                                         .unused2 = 0,
                                         .transaction = transaction,
                                         .subtransaction = subtransaction});
  ++count_;
}

std::uint32_t ChangeBatch::number_of(const TableVersionPtr& table) {
  // Changes of one table come in runs, so the last table is nearly always the one.
  for (std::size_t i = tables_.size(); i > 0; --i) {
    if (tables_[i - 1] == table) return static_cast<std::uint32_t>(i);
  }
  tables_.push_back(table);
  return static_cast<std::uint32_t>(tables_.size());
}

void ChangeBatch::add_row_change(ChangeKind kind, std::uint64_t transaction, std::uint64_t subtransaction,
                                 const TableVersionPtr& table, Images images) {
  start(kind, transaction, subtransaction, number_of(table), 0, images);
}

void ChangeBatch::add_cell(CellState state, std::string_view bytes) {
  assert(open_cell_at_ == 0);
  arena_.push_back(static_cast<char>(state));
  base::append_native(arena_, static_cast<std::uint32_t>(bytes.size()));
  arena_.append(bytes);
}

std::string& ChangeBatch::open_cell(CellState state) {
  assert(open_cell_at_ == 0);
  arena_.push_back(static_cast<char>(state));
  open_cell_at_ = arena_.size();
  base::append_native(arena_, std::uint32_t{0});
  return arena_;
}

void ChangeBatch::close_cell() {
  assert(open_cell_at_ != 0);
  auto size = static_cast<std::uint32_t>(arena_.size() - open_cell_at_ - sizeof(std::uint32_t));
  std::memcpy(arena_.data() + open_cell_at_, &size, sizeof size);
  open_cell_at_ = 0;
}

void ChangeBatch::add_table_change(ChangeKind kind, std::uint64_t transaction, std::uint64_t subtransaction,
                                   const TableVersionPtr& table) {
  start(kind, transaction, subtransaction, number_of(table), 0, Images::kNone);
}

void ChangeBatch::add_begin(std::uint64_t transaction) {
  start(ChangeKind::kBegin, transaction, transaction, 0, 0, Images::kNone);
}

void ChangeBatch::add_commit(std::uint64_t transaction, TransactionStamp stamp) {
  stamps_.push_back(std::move(stamp));
  start(ChangeKind::kCommit, transaction, transaction, 0, static_cast<std::uint32_t>(stamps_.size()),
        Images::kNone);
}

void ChangeBatch::add_rollback(std::uint64_t transaction, std::uint64_t subtransaction) {
  start(ChangeKind::kRollback, transaction, subtransaction, 0, 0, Images::kNone);
}

void ChangeBatch::add_heartbeat(TransactionStamp stamp) {
  stamps_.push_back(std::move(stamp));
  start(ChangeKind::kHeartbeat, 0, 0, 0, static_cast<std::uint32_t>(stamps_.size()), Images::kNone);
}

ChangeBatch ChangeBatch::from_raw(std::string bytes, std::vector<TableVersionPtr> tables) {
  ChangeBatch batch;
  batch.arena_ = std::move(bytes);
  batch.tables_ = std::move(tables);
  ChangeReader reader(batch);
  for (Change change; reader.next(change);) ++batch.count_;
  return batch;
}

void ChangeBatch::clear() {
  arena_.clear();
  tables_.clear();
  stamps_.clear();
  count_ = 0;
  open_cell_at_ = 0;
}

bool ChangeReader::next(Change& change) {
  assert(batch_.open_cell_at_ == 0);
  const std::string& arena = batch_.arena_;
  if (at_ == end_) return false;
  auto head = base::load_native<RecordHead>(arena.data() + at_);
  at_ += sizeof head;

  change = Change{};
  change.kind = static_cast<ChangeKind>(head.kind);
  change.transaction = head.transaction;
  change.subtransaction = head.subtransaction;
  if (head.table > 0) change.table = &batch_.tables_[head.table - 1];
  if (head.stamp > 0) change.stamp = &batch_.stamps_[head.stamp - 1];

  std::size_t images = (head.images & 1U) + (head.images >> 1U);
  if (images == 0) return true;
  std::size_t columns = (*change.table)->columns.size();
  std::size_t cells = columns * images;
  cells_.resize(cells);
  for (Cell& cell : cells_) {
    cell.state = static_cast<CellState>(arena[at_]);
    auto size = base::load_native<std::uint32_t>(arena.data() + at_ + 1);
    cell.bytes = std::string_view(arena).substr(at_ + kCellHeadSize, size);
    at_ += kCellHeadSize + size;
  }
  std::span<const Cell> all(cells_);
  if (head.images & 1U) change.before = all.first(columns);
  if (head.images & 2U) change.after = all.last(columns);
  return true;
}

}  // namespace ferry::model
