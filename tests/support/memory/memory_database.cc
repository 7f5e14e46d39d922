#include "tests/support/memory/memory_database.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <utility>

// Rows are versions stamped with the transactions that made and removed them, so that a snapshot needs no
// copy of the database and a subtransaction can be rolled back by naming it. Nothing is ever vacuumed: tests
// are short.
namespace ferry::test_support {
namespace {

constexpr std::string_view kPositionPrefix = "log/";

// What the log says of a row that is changed or removed.
std::optional<Row> old_image(const model::TableVersion& table, const Row& row) {
  if (table.identity == model::RowIdentity::kFullRow) return row;
  Row image(row.size(), not_sent());
  for (std::uint32_t column : table.key) image[column] = row[column];
  return image;
}

}  // namespace

model::StreamPosition log_position(std::uint64_t number) {
  std::string key;
  base::append_big_endian(key, number);
  return {key, fmt::format("{}{:X}", kPositionPrefix, number)};
}

std::uint64_t log_number(const model::StreamPosition& position) {
  return position.empty() ? 0 : base::load_big_endian<std::uint64_t>(position.key().data());
}

std::optional<std::uint64_t> parse_log_position(std::string_view text) {
  if (!text.starts_with(kPositionPrefix)) return std::nullopt;
  text.remove_prefix(kPositionPrefix.size());
  std::uint64_t number = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// ---- transactions

std::unique_ptr<MemoryTransaction> MemoryDatabase::begin() {
  std::lock_guard lock(mutex_);
  std::uint64_t id = next_transaction_++;
  open_.insert(id);
  log({.transaction = id, .subtransaction = id, .kind = model::ChangeKind::kBegin});
  return std::unique_ptr<MemoryTransaction>(new MemoryTransaction(*this, id));
}

MemoryTransaction::~MemoryTransaction() {
  if (state_ == State::kOpen) rollback();
  if (state_ == State::kCommittedUnseen) become_seen();
}

void MemoryTransaction::insert(const model::TableName& table, Row row) {
  std::unique_lock lock(database_.mutex_);
  auto& found = database_.lock_for_rows(lock, *this, table);
  auto shape = database_.shape_of(found, database_.snapshot(), id_);
  assert(row.size() == shape->columns.size());
  if (shape->identity == model::RowIdentity::kKey) database_.refuse_duplicate(found, *this, row);
  database_.log_change(*this, model::ChangeKind::kInsert, shape, {}, row);
  database_.add_row(found, *this, shape, std::move(row));
}

void MemoryTransaction::update(const model::TableName& table, const Row& which, Row after) {
  std::unique_lock lock(database_.mutex_);
  auto& found = database_.lock_for_rows(lock, *this, table);
  auto shape = database_.shape_of(found, database_.snapshot(), id_);
  assert(after.size() == shape->columns.size());
  auto& version = database_.find_row(found, *this, which);
  version.gone_by = id_;
  version.gone_in = current();
  Row old = projected(version.row, *version.shape, *shape);

  Row sent = after;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (found.left_out.contains(shape->columns[i].name) && sent[i] == old[i]) sent[i] = not_sent();
  }
  bool key_changed = identity_of(*shape, old) != identity_of(*shape, after);
  bool has_before = shape->identity == model::RowIdentity::kFullRow || key_changed;
  if (shape->identity != model::RowIdentity::kNone) {
    database_.log_change(*this, model::ChangeKind::kUpdate, shape,
                         has_before ? old_image(*shape, old) : std::nullopt, std::move(sent));
  }
  database_.add_row(found, *this, shape, std::move(after));
}

void MemoryTransaction::remove(const model::TableName& table, const Row& which) {
  std::unique_lock lock(database_.mutex_);
  auto& found = database_.lock_for_rows(lock, *this, table);
  auto shape = database_.shape_of(found, database_.snapshot(), id_);
  auto& version = database_.find_row(found, *this, which);
  version.gone_by = id_;
  version.gone_in = current();
  if (shape->identity == model::RowIdentity::kNone) return;
  database_.log_change(*this, model::ChangeKind::kDelete, shape,
                       old_image(*shape, projected(version.row, *version.shape, *shape)));
}

void MemoryTransaction::truncate(const model::TableName& table) {
  std::unique_lock lock(database_.mutex_);
  auto& found = database_.lock_alone(lock, *this, table);
  auto snapshot = database_.snapshot();
  for (auto& version : found.rows) {
    if (!database_.row_visible(version, snapshot, id_)) continue;
    version.gone_by = id_;
    version.gone_in = current();
  }
  database_.log_change(*this, model::ChangeKind::kTruncate, database_.shape_of(found, snapshot, id_));
}

void MemoryTransaction::create_table(model::TableVersion shape, connector::TableKind kind) {
  std::unique_lock lock(database_.mutex_);
  if (database_.find_table(shape.name, database_.snapshot(), id_) != 0) {
    throw MemoryDatabaseError("there is a table " + to_string(shape.name));
  }
  shape.source_table = database_.next_table_++;
  std::int32_t next_column = 1;
  for (model::Column& column : shape.columns) column.source_number = next_column++;
  auto& made = database_.tables_[shape.source_table];
  made.kind = kind;
  made.exclusive = id_;
  made.shapes.push_back({std::make_shared<model::TableVersion>(std::move(shape)), id_, current()});
  if (kind == connector::TableKind::kView) return;  // A log knows tables only.
  database_.log_change(*this, model::ChangeKind::kSchemaChange, made.shapes.back().shape);
}

void MemoryTransaction::change_table(const model::TableName& table, model::TableVersion shape) {
  std::unique_lock lock(database_.mutex_);
  auto& found = database_.lock_alone(lock, *this, table);
  auto now = database_.shape_of(found, database_.snapshot(), id_);
  shape.source_table = now->source_table;
  std::int32_t last = 0;
  for (const auto& version : found.shapes) {
    if (!version.shape) continue;
    for (const auto& column : version.shape->columns) last = std::max(last, column.source_number);
  }
  for (model::Column& column : shape.columns) {
    if (column.source_number == 0) column.source_number = ++last;
  }
  found.shapes.push_back({std::make_shared<model::TableVersion>(std::move(shape)), id_, current()});
  database_.log_change(*this, model::ChangeKind::kSchemaChange, found.shapes.back().shape);
}

void MemoryTransaction::drop_table(const model::TableName& table) {
  std::unique_lock lock(database_.mutex_);
  auto& found = database_.lock_alone(lock, *this, table);
  auto last = database_.shape_of(found, database_.snapshot(), id_);
  found.shapes.push_back({nullptr, id_, current()});
  database_.log_change(*this, model::ChangeKind::kDrop, last);
}

void MemoryTransaction::begin_subtransaction() {
  std::lock_guard lock(database_.mutex_);
  open_.push_back({database_.next_transaction_++, {}});
  all_.push_back(open_.back().id);
}

void MemoryTransaction::release_subtransaction() {
  std::lock_guard lock(database_.mutex_);
  Sub ended = std::move(open_.back());
  open_.pop_back();
  if (open_.empty()) return;
  auto& outer = open_.back().released;
  outer.push_back(ended.id);
  outer.insert(outer.end(), ended.released.begin(), ended.released.end());
}

void MemoryTransaction::rollback_subtransaction() {
  std::lock_guard lock(database_.mutex_);
  Sub ended = std::move(open_.back());
  open_.pop_back();
  ended.released.push_back(ended.id);
  for (std::uint64_t sub : ended.released) {
    database_.aborted_.insert(sub);
    database_.log({.transaction = id_, .subtransaction = sub, .kind = model::ChangeKind::kRollback});
  }
}

void MemoryTransaction::commit() {
  std::lock_guard lock(database_.mutex_);
  database_.end(*this, model::ChangeKind::kCommit);
  state_ = State::kEnded;
}

void MemoryTransaction::rollback() {
  std::lock_guard lock(database_.mutex_);
  database_.aborted_.insert(id_);
  database_.aborted_.insert(all_.begin(), all_.end());
  database_.end(*this, model::ChangeKind::kRollback);
  state_ = State::kEnded;
}

void MemoryTransaction::commit_unseen() {
  std::lock_guard lock(database_.mutex_);
  database_.unseen_.insert(id_);
  database_.end(*this, model::ChangeKind::kCommit);
  state_ = State::kCommittedUnseen;
}

void MemoryTransaction::become_seen() {
  std::lock_guard lock(database_.mutex_);
  database_.unseen_.erase(id_);
  database_.release_locks(id_);
  database_.changed_.notify_all();
  state_ = State::kEnded;
}

void MemoryDatabase::end(MemoryTransaction& transaction, model::ChangeKind kind) {
  log({.transaction = transaction.id_, .subtransaction = transaction.id_, .kind = kind});
  ended_at_[transaction.id_] = log_end_;
  if (kind == model::ChangeKind::kCommit) log_end_ += kLogStep / 2;
  open_.erase(transaction.id_);
  if (!unseen_.contains(transaction.id_)) release_locks(transaction.id_);
  changed_.notify_all();
}

void MemoryDatabase::release_locks(std::uint64_t transaction) {
  for (auto& [number, table] : tables_) {
    if (table.exclusive == transaction) table.exclusive = 0;
    table.writers.erase(transaction);
  }
}

// ---- rows and shapes

MemorySnapshot MemoryDatabase::snapshot() const {
  MemorySnapshot taken{.next = next_transaction_, .in_progress = open_, .log_end = log_end_};
  taken.in_progress.insert(unseen_.begin(), unseen_.end());
  return taken;
}

bool MemoryDatabase::visible(std::uint64_t by, std::uint64_t in, const MemorySnapshot& snapshot,
                             std::uint64_t self) const {
  if (aborted_.contains(in) || aborted_.contains(by)) return false;
  return by == self || snapshot.sees(by);
}

bool MemoryDatabase::row_visible(const RowVersion& row, const MemorySnapshot& snapshot,
                                 std::uint64_t self) const {
  if (!visible(row.made_by, row.made_in, snapshot, self)) return false;
  return row.gone_by == 0 || !visible(row.gone_by, row.gone_in, snapshot, self);
}

model::TableVersionPtr MemoryDatabase::shape_of(const Table& table, const MemorySnapshot& snapshot,
                                                std::uint64_t self) const {
  for (auto version = table.shapes.rbegin(); version != table.shapes.rend(); ++version) {
    if (visible(version->made_by, version->made_in, snapshot, self)) return version->shape;
  }
  return nullptr;
}

std::uint64_t MemoryDatabase::find_table(const model::TableName& name, const MemorySnapshot& snapshot,
                                         std::uint64_t self) const {
  for (const auto& [number, table] : tables_) {
    auto shape = shape_of(table, snapshot, self);
    if (shape && shape->name == name) return number;
  }
  return 0;
}

MemoryDatabase::Table& MemoryDatabase::lock_for_rows(std::unique_lock<std::mutex>& lock,
                                                     MemoryTransaction& by, const model::TableName& name) {
  std::uint64_t number = 0;
  bool granted = changed_.wait_for(lock, by.lock_timeout_, [&] {
    number = find_table(name, snapshot(), by.id_);
    return number == 0 || tables_[number].exclusive == 0 || tables_[number].exclusive == by.id_;
  });
  if (number == 0) throw MemoryDatabaseError("there is no table " + to_string(name));
  if (!granted) throw MemoryDatabaseError("the table is locked: " + to_string(name));
  Table& table = tables_[number];
  table.writers.insert(by.id_);
  index_for(table, shape_of(table, snapshot(), by.id_));
  return table;
}

MemoryDatabase::Table& MemoryDatabase::lock_alone(std::unique_lock<std::mutex>& lock, MemoryTransaction& by,
                                                  const model::TableName& name) {
  std::uint64_t number = 0;
  bool granted = changed_.wait_for(lock, by.lock_timeout_, [&] {
    number = find_table(name, snapshot(), by.id_);
    if (number == 0) return true;
    const Table& table = tables_[number];
    bool others_write = table.writers.size() > (table.writers.contains(by.id_) ? 1U : 0U);
    return (table.exclusive == 0 || table.exclusive == by.id_) && table.readers == 0 && !others_write;
  });
  if (number == 0) throw MemoryDatabaseError("there is no table " + to_string(name));
  if (!granted) throw MemoryDatabaseError("the table is locked: " + to_string(name));
  tables_[number].exclusive = by.id_;
  return tables_[number];
}

void MemoryDatabase::index_for(Table& table, const model::TableVersionPtr& shape) {
  if (table.indexed_for == shape) return;
  table.index.clear();
  table.indexed_for = shape;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    table.index[identity_of(*shape, projected(table.rows[i].row, *table.rows[i].shape, *shape))].push_back(i);
  }
}

MemoryDatabase::RowVersion& MemoryDatabase::find_row(Table& table, MemoryTransaction& by, const Row& which) {
  auto now = snapshot();
  auto found = table.index.find(identity_of(which));
  if (found != table.index.end()) {
    for (std::size_t at : found->second) {
      RowVersion& version = table.rows[at];
      if (!row_visible(version, now, by.id_)) continue;
      bool taken = version.gone_by != 0 && version.gone_by != by.id_ && !aborted_.contains(version.gone_by) &&
                   !aborted_.contains(version.gone_in);
      if (taken) throw MemoryDatabaseError("another transaction changes the row");
      return version;
    }
  }
  throw MemoryDatabaseError("there is no such row");
}

void MemoryDatabase::refuse_duplicate(const Table& table, const MemoryTransaction& by, const Row& row) const {
  auto now = snapshot();
  auto found = table.index.find(identity_of(*table.indexed_for, row));
  if (found == table.index.end()) return;
  for (std::size_t at : found->second) {
    if (row_visible(table.rows[at], now, by.id_)) throw MemoryDatabaseError("there is a row with this key");
  }
}

void MemoryDatabase::add_row(Table& table, MemoryTransaction& by, const model::TableVersionPtr& shape,
                             Row row) {
  table.index[identity_of(*shape, row)].push_back(table.rows.size());
  table.rows.push_back({.shape = shape, .row = std::move(row), .made_by = by.id_, .made_in = by.current()});
}

std::vector<Row> MemoryDatabase::visible_rows(const Table& table, const model::TableVersion& shape,
                                              const MemorySnapshot& snapshot) const {
  std::vector<Row> rows;
  for (const RowVersion& version : table.rows) {
    if (row_visible(version, snapshot, 0)) rows.push_back(projected(version.row, *version.shape, shape));
  }
  return rows;
}

std::vector<Row> MemoryDatabase::rows(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto now = snapshot();
  std::uint64_t number = find_table(table, now, 0);
  if (number == 0) throw MemoryDatabaseError("there is no table " + to_string(table));
  const Table& found = tables_.at(number);
  return visible_rows(found, *shape_of(found, now, 0), now);
}

void MemoryDatabase::mark_as_partitioned(const model::TableName& table) {
  std::lock_guard lock(mutex_);
  tables_.at(find_table(table, snapshot(), 0)).partitioned = true;
}

void MemoryDatabase::leave_out_when_unchanged(const model::TableName& table, const std::string& column) {
  std::lock_guard lock(mutex_);
  tables_.at(find_table(table, snapshot(), 0)).left_out.insert(column);
}

std::vector<MemoryDatabase::Listed> MemoryDatabase::list() const {
  std::lock_guard lock(mutex_);
  auto now = snapshot();
  std::vector<Listed> all;
  for (const auto& [number, table] : tables_) {
    auto shape = shape_of(table, now, 0);
    if (!shape || table.partitioned) continue;
    all.push_back({shape->name, table.kind, static_cast<std::int64_t>(table.rows.size())});
  }
  return all;
}

model::TableVersionPtr MemoryDatabase::describe(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  auto now = snapshot();
  std::uint64_t number = find_table(table, now, 0);
  return number == 0 ? nullptr : shape_of(tables_.at(number), now, 0);
}

MemoryDatabase::LockWait MemoryDatabase::hold(const model::TableName& table,
                                              std::optional<std::chrono::milliseconds> timeout,
                                              std::stop_token stop, Held& held) {
  std::unique_lock lock(mutex_);
  auto granted = [&] {
    held.table = find_table(table, snapshot(), 0);
    return held.table == 0 || tables_[held.table].exclusive == 0;
  };
  bool answered =
      timeout ? changed_.wait_for(lock, stop, *timeout, granted) : changed_.wait(lock, stop, granted);
  if (!answered) return stop.stop_requested() ? LockWait::kStopped : LockWait::kTimedOut;
  if (held.table == 0) return LockWait::kNoTable;
  Table& found = tables_[held.table];
  ++found.readers;
  held.snapshot = snapshot();
  held.shape = shape_of(found, held.snapshot, 0);
  held.rows = visible_rows(found, *held.shape, held.snapshot);
  return LockWait::kGranted;
}

void MemoryDatabase::let_go(std::uint64_t table) {
  {
    std::lock_guard lock(mutex_);
    --tables_[table].readers;
  }
  changed_.notify_all();
}

std::optional<Row> MemoryDatabase::find(const model::TableName& table, const Row& key,
                                        model::TableVersionPtr& shape) {
  std::lock_guard lock(mutex_);
  auto now = snapshot();
  std::uint64_t number = find_table(table, now, 0);
  if (number == 0) {
    shape = nullptr;
    return std::nullopt;
  }
  Table& found = tables_.at(number);
  shape = shape_of(found, now, 0);
  index_for(found, shape);
  auto candidates = found.index.find(identity_of(key));
  if (candidates == found.index.end()) return std::nullopt;
  for (std::size_t at : candidates->second) {
    const RowVersion& version = found.rows[at];
    if (row_visible(version, now, 0)) return projected(version.row, *version.shape, *shape);
  }
  return std::nullopt;
}

// ---- the log

void MemoryDatabase::log(LogEntry entry) {
  log_end_ += kLogStep;
  log_end_ -= log_end_ % kLogStep;
  entry.number = log_end_;
  entry.time = clock_.now();
  log_.push_back(std::move(entry));
  changed_.notify_all();
}

void MemoryDatabase::log_change(MemoryTransaction& by, model::ChangeKind kind,
                                const model::TableVersionPtr& table, std::optional<Row> before,
                                std::optional<Row> after) {
  log({.transaction = by.id_,
       .subtransaction = by.current(),
       .kind = kind,
       .table = table,
       .before = std::move(before),
       .after = std::move(after)});
}

std::string MemoryDatabase::identity() const {
  std::lock_guard lock(mutex_);
  return identity_;
}

void MemoryDatabase::set_identity(std::string identity) {
  std::lock_guard lock(mutex_);
  identity_ = std::move(identity);
}

std::uint64_t MemoryDatabase::log_end() const {
  std::lock_guard lock(mutex_);
  return log_end_;
}

bool MemoryDatabase::keeps(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  return number >= kept_from_;
}

std::optional<MemoryDatabase::Slot> MemoryDatabase::make_slot(const std::string& name,
                                                              std::optional<std::uint64_t> from) {
  std::lock_guard lock(mutex_);
  if (from && (*from < kept_from_ || *from > log_end_)) return std::nullopt;
  Slot& slot = slots_[name];
  slot = {.serial = next_slot_++, .confirmed = from.value_or(log_end_)};
  return slot;
}

std::optional<MemoryDatabase::Slot> MemoryDatabase::find_slot(const std::string& name) const {
  std::lock_guard lock(mutex_);
  auto found = slots_.find(name);
  return found == slots_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::string> MemoryDatabase::slots() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, slot] : slots_) names.push_back(name);
  return names;
}

bool MemoryDatabase::drop_slot(const std::string& name) {
  std::lock_guard lock(mutex_);
  return slots_.erase(name) > 0;
}

void MemoryDatabase::confirm(const std::string& name, std::uint64_t number) {
  std::lock_guard lock(mutex_);
  auto found = slots_.find(name);
  if (found == slots_.end()) return;
  found->second.confirmed = std::max(found->second.confirmed, number);
  trim();
}

// Forgets what no slot needs: transactions that ended at or before the least confirmed number. Entries leave
// at the front only; what is ended but stands behind an open transaction goes with it.
void MemoryDatabase::trim() {
  std::uint64_t least = log_end_;
  for (const auto& [name, slot] : slots_) least = std::min(least, slot.confirmed);
  kept_from_ = std::max(kept_from_, least);
  while (!log_.empty()) {
    auto ended = ended_at_.find(log_.front().transaction);
    if (ended == ended_at_.end() || ended->second > kept_from_) return;
    log_.pop_front();
  }
}

void MemoryDatabase::lose_log() {
  std::lock_guard lock(mutex_);
  kept_from_ = log_end_;
  std::erase_if(log_, [&](const LogEntry& entry) { return ended_at_.contains(entry.transaction); });
  changed_.notify_all();
}

std::vector<LogEntry> MemoryDatabase::read_log(std::uint64_t after, std::size_t count) const {
  std::lock_guard lock(mutex_);
  std::vector<LogEntry> entries;
  auto at =
      std::upper_bound(log_.begin(), log_.end(), after,
                       [](std::uint64_t number, const LogEntry& entry) { return number < entry.number; });
  for (; at != log_.end() && entries.size() < count; ++at) entries.push_back(*at);
  return entries;
}

std::set<std::uint64_t> MemoryDatabase::ended_by(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  std::set<std::uint64_t> ended;
  for (const auto& [transaction, end] : ended_at_) {
    if (end <= number) ended.insert(transaction);
  }
  return ended;
}

void MemoryDatabase::wait_for_log(std::uint64_t after, std::chrono::milliseconds wait,
                                  std::stop_token stop) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, wait, [&, generation = connection_generation_] {
    return (!log_.empty() && log_.back().number > after) || connection_generation_ != generation ||
           kept_from_ > after;
  });
}

std::vector<std::uint64_t> MemoryDatabase::open_transactions() const {
  std::lock_guard lock(mutex_);
  return {open_.begin(), open_.end()};
}

std::vector<std::uint64_t> MemoryDatabase::wait_for_ends(std::vector<std::uint64_t> transactions,
                                                         std::chrono::milliseconds timeout,
                                                         std::stop_token stop) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, timeout, [&] {
    std::erase_if(transactions, [&](std::uint64_t transaction) { return !open_.contains(transaction); });
    return transactions.empty();
  });
  return transactions;
}

// ---- connections

void MemoryDatabase::drop_connections() {
  {
    std::lock_guard lock(mutex_);
    ++connection_generation_;
  }
  changed_.notify_all();
}

void MemoryDatabase::set_reachable(bool reachable) {
  std::lock_guard lock(mutex_);
  reachable_ = reachable;
}

bool MemoryDatabase::reachable() const {
  std::lock_guard lock(mutex_);
  return reachable_;
}

std::uint64_t MemoryDatabase::connection_generation() const {
  std::lock_guard lock(mutex_);
  return connection_generation_;
}

}  // namespace ferry::test_support
