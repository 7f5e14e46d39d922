#include "connectors/postgres/change_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace ferry::postgres {

using base::Error;
using base::ErrorKind;
using model::CellState;
using model::ChangeBatch;
using model::ChangeKind;
using Images = ChangeBatch::Images;

namespace {

Error out_of_place(std::string_view what, std::uint32_t xid) {
  return Error(ErrorKind::kSourceProtocol,
               fmt::format("the stream has {} of transaction {} in a place where none belongs", what, xid));
}

}  // namespace

void ChangeWriter::start(Lsn from) {
  *this = {};
  from_ = idle_through_ = yielded_through_ = from;
}

void ChangeWriter::begin(std::uint32_t xid) {
  if (current_ != 0 || xid == 0 || !open_.try_emplace(xid).second) throw out_of_place("the begin", xid);
  current_ = xid;
}

void ChangeWriter::open_piece(std::uint32_t xid) {
  if (current_ != 0 || xid == 0) throw out_of_place("a piece", xid);
  open_[xid].in_pieces = true;
  current_ = xid;
}

void ChangeWriter::close_piece() { current_ = 0; }

void ChangeWriter::commit(std::uint32_t xid, const CommitRecord& record, ChangeBatch& batch) {
  auto found = open_.find(xid);
  if (found == open_.end() || current_ != (found->second.in_pieces ? 0 : xid)) {
    throw out_of_place("the commit", xid);
  }
  Transaction transaction = std::move(found->second);
  open_.erase(found);
  current_ = 0;
  idle(record.end);
  if (!transaction.begun) return;
  if (record.position < from_) {
    batch.add_rollback(xid, xid);
    announced_.clear();
    return;
  }
  for (auto& [table, version] : transaction.announced) announced_[table] = std::move(version);
  batch.add_commit(xid, {.id = xid,
                         .commit_position = position_of(record.position),
                         .resume_position = position_of(record.end),
                         .commit_time = record.time});
  yielded_through_ = std::max(yielded_through_, record.end);
}

void ChangeWriter::roll_back(std::uint32_t xid, std::uint32_t subxid, ChangeBatch& batch) {
  auto found = open_.find(xid);
  // A transaction may be rolled back of which no piece was sent.
  if (found == open_.end()) return;
  if (!found->second.in_pieces || current_ != 0) throw out_of_place("the rollback", xid);
  if (found->second.begun) batch.add_rollback(xid, subxid);
  // The shapes that the subtransaction said go with it; which ones they were is not known.
  found->second.announced.clear();
  if (subxid == xid) open_.erase(found);
}

ChangeWriter::Transaction& ChangeWriter::begun(ChangeBatch& batch) {
  if (current_ == 0) throw out_of_place("a change", 0);
  Transaction& transaction = open_.at(current_);
  if (!std::exchange(transaction.begun, true)) batch.add_begin(current_);
  return transaction;
}

// What stands before a change: its transaction's begin, and its table's shape. A shape that is made anew
// without being another is not said again.
void ChangeWriter::say_shape(const model::TableVersionPtr& table, std::uint32_t subtransaction,
                             ChangeBatch& batch) {
  Transaction& transaction = begun(batch);
  // What comes in pieces may commit after others that were read later, or never.
  auto& announced = transaction.in_pieces ? transaction.announced : announced_;
  model::TableVersionPtr& last = announced[table->source_table];
  if (last == table) return;
  bool is_same = last && *last == *table;
  last = table;
  if (!is_same) batch.add_table_change(ChangeKind::kSchemaChange, current_, subtransaction, table);
}

void ChangeWriter::add_table_change(ChangeKind kind, std::uint32_t subtransaction,
                                    const model::TableVersionPtr& table, ChangeBatch& batch) {
  std::uint32_t sub = subtransaction != 0 ? subtransaction : current_;
  if (kind == ChangeKind::kSchemaChange) {
    model::TableVersionPtr last = last_shape(table->source_table);
    bool in_pieces = current_ != 0 && open_.at(current_).in_pieces;
    if (in_pieces || !last || *last != *table) say_shape(table, sub, batch);
    return;
  }
  Transaction& transaction = begun(batch);
  (transaction.in_pieces ? transaction.announced : announced_)[table->source_table] = nullptr;
  batch.add_table_change(kind, current_, sub, table);
}

model::TableVersionPtr ChangeWriter::last_shape(std::uint64_t source_table) const {
  if (auto transaction = open_.find(current_); transaction != open_.end()) {
    const Announced& own = transaction->second.announced;
    if (auto found = own.find(source_table); found != own.end()) return found->second;
  }
  auto found = announced_.find(source_table);
  return found == announced_.end() ? nullptr : found->second;
}

void ChangeWriter::add_row(const StreamTable& table, const RowChange& row, ChangeBatch& batch) {
  std::uint32_t sub = row.subtransaction != 0 ? row.subtransaction : current_;
  say_shape(table.version, sub, batch);
  bool has_before = row.old != OldTuple::kNone;
  bool has_after = row.kind != ChangeKind::kDelete;
  Images images = has_before ? (has_after ? Images::kBoth : Images::kBefore) : Images::kAfter;
  batch.add_row_change(row.kind, current_, sub, table.version, images);
  if (has_before) add_image(table, row.before, row.old, {}, batch);
  if (!has_after) return;
  bool whole = row.old == OldTuple::kFull && row.before.size() == row.after.size();
  add_image(table, row.after, OldTuple::kNone, whole ? row.before : std::span<const Value>(), batch);
}

void ChangeWriter::add_truncate(const StreamTable& table, std::uint32_t subtransaction, ChangeBatch& batch) {
  std::uint32_t sub = subtransaction != 0 ? subtransaction : current_;
  say_shape(table.version, sub, batch);
  batch.add_table_change(ChangeKind::kTruncate, current_, sub, table.version);
}

// A cell for each column of the table. `whole_old` holds the values that an unchanged TOAST value of a new
// row is taken from, where the log has them.
void ChangeWriter::add_image(const StreamTable& table, std::span<const Value> values, OldTuple old,
                             std::span<const Value> whole_old, ChangeBatch& batch) {
  if (values.size() != table.row_size) {
    throw Error(ErrorKind::kSourceProtocol,
                fmt::format("a row of {} has {} values, where {} are expected",
                            to_string(table.version->name), values.size(), table.row_size));
  }
  for (const StreamTable::Column& column : table.columns) {
    if (column.place < 0 || (old == OldTuple::kKey && !column.in_identity)) {
      batch.add_cell(CellState::kNotSent, {});
      continue;
    }
    auto place = static_cast<std::size_t>(column.place);
    const Value& value =
        values[place].kind == ValueKind::kNotSent && !whole_old.empty() ? whole_old[place] : values[place];
    switch (value.kind) {
      case ValueKind::kNull: batch.add_cell(CellState::kNull, {}); break;
      case ValueKind::kNotSent: batch.add_cell(CellState::kNotSent, {}); break;
      case ValueKind::kText: {
        TextValue read = column.read(column.codec, value.bytes, scratch_);
        batch.add_cell(read.state, read.bytes);
        break;
      }
      case ValueKind::kBinary:
        throw Error(ErrorKind::kSourceProtocol, "the stream holds binary values, which were not asked for");
    }
  }
}

void ChangeWriter::idle(Lsn end) {
  if (current_ == 0) idle_through_ = std::max(idle_through_, end);
}

void ChangeWriter::add_heartbeat(ChangeBatch& batch) {
  if (current_ != 0 || idle_through_ <= yielded_through_) return;
  yielded_through_ = idle_through_;
  batch.add_heartbeat(
      {.id = 0, .commit_position = {}, .resume_position = position_of(idle_through_), .commit_time = 0});
}

}  // namespace ferry::postgres
