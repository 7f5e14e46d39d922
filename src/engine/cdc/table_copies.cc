#include "engine/cdc/table_copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "engine/cdc/applier.h"
#include "engine/cdc/frozen_shapes.h"
#include "engine/cdc/known_shapes.h"
#include "engine/full_load/full_load.h"
#include "engine/table_shape_text.h"
#include "engine/tables_manager.h"
#include "model/batch_cells.h"

// How rows that a table already has become changes. They are one transaction of inserts, with a commit
// position right behind the last transaction that is durable: so they stand behind everything written before,
// in front of everything that comes, and the stream's own positions stay as they are. That position is
// stored, with the mark of the snapshot, before the first row is written, and the checkpoint that holds it
// says that all of them are durable. An attempt that did not come so far is taken back by its position, and
// the next one has a later one and a mark of its own. Reading the rows from the log instead is not possible:
// it may not go back far enough.
namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;
using model::Change;
using model::ChangeKind;
using model::StreamPosition;

// No source's transaction has this number.
constexpr std::uint64_t kCopyTransaction = std::numeric_limits<std::uint64_t>::max();

// The rows of a held table as one transaction.
class CopiedRows final : public model::Transaction {
 public:
  CopiedRows(const TaskContext& context, const TableState& table, connector::TableUnload& unload,
             model::TransactionStamp stamp, std::stop_token stop)
      : context_(context),
        table_(table),
        unload_(unload),
        version_(unload.table()),
        stamp_(std::move(stamp)),
        stop_(std::move(stop)) {}

  const model::TransactionStamp& stamp() const override { return stamp_; }

  bool next(Change& change) override {
    change = {.kind = ChangeKind::kSchemaChange,
              .transaction = stamp_.id,
              .subtransaction = stamp_.id,
              .table = &version_,
              .stamp = nullptr,
              .before = {},
              .after = {}};
    if (!std::exchange(announced_, true)) return true;
    if (context_.row_errors.is_suspended(table_.target)) {
      throw Error(ErrorKind::kTargetTable, context_.row_errors.suspension_reason(table_.target));
    }
    while (!cells_ || next_row_ == model::row_count(*batch_)) {
      if (!read_batch()) return false;
    }
    change.kind = ChangeKind::kInsert;
    change.after = cells_->row(next_row_++);
    ++rows_;
    return true;
  }

  std::int64_t rows() const { return rows_; }

 private:
  bool read_batch() {
    cells_.reset();
    while (true) {
      if (!reader_) {
        if (next_slice_ == unload_.slice_count()) return false;
        reader_ = unload_.open_slice(next_slice_++, stop_);
      }
      batch_ = reader_->next(stop_);
      if (batch_) break;
      reader_.reset();
    }
    base::failpoint("during_table_load");
    cells_.emplace(*batch_);
    next_row_ = 0;
    return true;
  }

  const TaskContext& context_;
  const TableState& table_;
  connector::TableUnload& unload_;
  const model::TableVersionPtr version_;
  const model::TransactionStamp stamp_;
  const std::stop_token stop_;
  bool announced_ = false;
  std::size_t next_slice_ = 0;
  std::unique_ptr<connector::SliceReader> reader_;
  std::optional<model::RecordBatch> batch_;
  std::optional<model::BatchCells> cells_;
  std::int64_t next_row_ = 0;
  std::int64_t rows_ = 0;
};

// Copies one table as inserts.
class InsertCopier {
 public:
  InsertCopier(const TaskContext& context, TableState table, StreamTotals& totals)
      : context_(context), table_(std::move(table)), totals_(totals) {}

  void run(std::stop_token stop) {
    Applier applier(context_, nullptr);
    if (table_.phase == TablePhase::kLoading) {
      if (applier.stored().applied_through >= table_.copy_position) return complete();
      discard();
    }
    std::unique_ptr<connector::TableUnload> unload = hold_for_copy(context_, table_, stop);
    if (!unload) return forget_gone_table(context_, table_);

    StreamPosition last = applier.stored().applied_through;
    // What an attempt before wrote and took back has a later position than the checkpoint.
    if (auto object = context_.state.last_changes(table_.target)) last = std::max(last, object->last.commit);
    table_.phase = TablePhase::kLoading;
    table_.mark = unload->mark()->to_text();
    table_.copy_position = last.just_after();
    table_.last_shape = shape_text(*unload->table());
    if (keeps_shapes(context_.definition.settings)) table_.shape = table_.last_shape;
    base::failpoint("before_table_loading");
    // The stream is where the table had its name already.
    take_from_rivals(context_.state, table_);
    context_.state.set_table(table_);
    base::failpoint("after_table_loading");
    context_.row_errors.begin_load(table_.target);

    CopiedRows rows(context_, table_, *unload,
                    {.id = kCopyTransaction,
                     .commit_position = table_.copy_position,
                     .resume_position = applier.stored().resume_position,
                     .commit_time = context_.clock.now()},
                    stop);
    applier.apply(rows, context_.row_errors.of_loads());
    // Void unless the checkpoint comes to hold the copy.
    context_.row_errors.store_load(table_.target);
    std::int64_t written = rows.rows() - context_.row_errors.counts_of(table_.target).load_errors;
    ChangeProgress progress;
    progress.counts[table_.source] = context_.state.change_counts()[table_.source];
    progress.counts[table_.source].inserts += written;
    applier.before_checkpoint = [&](const model::Checkpoint&) { return progress; };
    applier.flush();
    if (applier.stored().applied_through < table_.copy_position) {
      throw Error(ErrorKind::kInternal, fmt::format("the target did not make the copy of {} durable",
                                                    model::to_string(table_.source)));
    }
    totals_.rows += written;
    base::log_info(base::kTargetApply, "{} rows of table {} were written as inserts", written,
                   model::to_string(table_.source));
    complete();
  }

  void fail(std::string_view error) {
    if (table_.phase == TablePhase::kLoading) {
      discard();
      table_.mark.clear();  // It holds nothing.
    }
    suspend_table(context_, table_, error);
  }

 private:
  void discard() { context_.target.tables()->discard_changes(table_.target, table_.copy_position); }

  void complete() {
    table_.phase = TablePhase::kLoaded;
    base::failpoint("before_table_loaded");
    context_.state.set_table(table_);
    base::failpoint("after_table_loaded");
    context_.state.forget_skipped(table_);
    // Every change of tables that had the name before is durable, so none of them comes again.
    for (const TableState& other : context_.state.tables()) {
      bool is_before = other.source == table_.source && other.source_number != table_.source_number;
      if (is_before && other.phase == TablePhase::kDropped) context_.state.remove_table(other);
    }
  }

  const TaskContext& context_;
  TableState table_;
  StreamTotals& totals_;
};

// A table that follows another one under its name, and that was found between transactions: the changes of
// the other one are behind the stream when it has come to where the log ends now.
void find_place(const TaskContext& context, connector::SourceCapture& capture, TableState& table,
                std::stop_token stop) {
  std::vector<TableState> tables = context.state.tables();
  bool has_predecessor = std::ranges::any_of(tables, [&](const TableState& other) {
    return other.target == table.target &&
           std::pair(other.source, other.source_number) != std::pair(table.source, table.source_number);
  });
  if (!has_predecessor) return;
  table.copy_after = capture.current_position(stop);
  context.state.set_table(table);
}

}  // namespace

void copy_tables(const TaskContext& context, connector::SourceCapture& capture, StreamTotals& totals,
                 std::stop_token stop) {
  std::vector<TableState> tables = context.state.tables();
  std::erase_if(tables, [](const TableState& table) {
    return table.phase != TablePhase::kQueued && table.phase != TablePhase::kLoading;
  });
  if (tables.empty()) return;
  run_full_load(context, stop);
  for (TableState& table : tables) {
    if (table.copy_as != CopyAs::kInserts) continue;
    if (table.phase == TablePhase::kQueued && table.copy_after.empty())
      find_place(context, capture, table, stop);
    if (context.state.checkpoint()->resume_position < table.copy_after) continue;
    InsertCopier copier(context, table, totals);
    try {
      copier.run(stop);
    } catch (const Error& error) {
      if (base::facts_of(error.kind()).recovery != base::Recovery::kTable) throw;
      copier.fail(error.what());
    }
  }
}

}  // namespace ferry::engine
