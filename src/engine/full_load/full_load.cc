#include "engine/full_load/full_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "engine/cdc/frozen_shapes.h"
#include "engine/table_shape_text.h"
#include "engine/tables_manager.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;

// A batch is this share of what a slice may hold; the rest is the target's.
constexpr std::int64_t kBatchShare = 8;
constexpr std::int64_t kBatchBytesMin = 256 << 10;
// So many rows that per-batch work does not show, so few that a batch's columns stay in the cache.
constexpr std::int64_t kBatchRowsMax = 16384;

// The time until a transaction that the log has committed is seen by a new snapshot; seldom more than a
// moment.
constexpr std::chrono::milliseconds kSeenInterval{50};

bool is_there(const TaskContext& context, const TableState& table, std::stop_token stop) {
  std::unique_ptr<connector::SourceCatalog> catalog = context.source.catalog();
  std::vector<connector::CatalogTable> listed = catalog->tables(stop);
  if (std::ranges::find(listed, table.source, &connector::CatalogTable::name) == listed.end()) return false;
  return table.source_number == 0 ||
         catalog->describe(table.source, stop)->source_table == table.source_number;
}

// Loads one table under one load epoch.
class TableLoader {
 public:
  TableLoader(const TaskContext& context, TableState table, base::UnixMicros load_started)
      : context_(context), table_(std::move(table)), load_started_(load_started) {}

  void run(std::stop_token stop) {
    auto started = context_.clock.steady_now();
    bool first_load = table_.phase == TablePhase::kQueued;
    std::unique_ptr<connector::TargetTables> tables = context_.target.tables();
    if (table_.phase == TablePhase::kLoading) tables->discard_load(table_.target, table_.load_epoch);

    std::unique_ptr<connector::TableUnload> unload = hold_for_copy(context_, table_, stop);
    if (!unload) return forget_gone_table(context_, table_);
    model::TableVersionPtr target = target_version(context_, unload->table());
    if (first_load) {
      tables->prepare({.table = target, .mode = prep_mode(context_), .foreign = context_.foreign_objects});
    }

    table_.phase = TablePhase::kLoading;
    ++table_.load_epoch;
    table_.mark = unload->mark() ? unload->mark()->to_text() : std::string();
    table_.last_shape = shape_text(*unload->table());
    if (keeps_shapes(context_.definition.settings)) table_.shape = table_.last_shape;
    base::failpoint("before_table_loading");
    context_.state.set_table(table_);
    base::failpoint("after_table_loading");
    context_.row_errors.begin_load(table_.target);
    context_.observer.table_load_started(*unload->table(), unload->rows_estimate());

    std::int64_t rows = 0;
    for (std::size_t slice = 0; slice < unload->slice_count(); ++slice)
      rows += load_slice(*unload, slice, target, stop);

    // Still void until the table is loaded.
    context_.row_errors.store_load(table_.target);
    table_.phase = TablePhase::kLoaded;
    table_.rows_loaded = rows;
    base::failpoint("before_table_loaded");
    context_.state.set_table(table_);
    base::failpoint("after_table_loaded");
    context_.state.forget_skipped(table_);
    std::chrono::duration<double> taken = context_.clock.steady_now() - started;
    context_.observer.table_loaded(table_.source, rows, taken.count());
    base::log_info(base::kTargetLoad, "table {} loaded: {} rows in {:.3f} s", model::to_string(table_.source),
                   rows, taken.count());
  }

  // What a load that ended in an error of this table leaves behind goes.
  void fail(std::string_view error) {
    if (table_.phase == TablePhase::kLoading) {
      context_.target.tables()->discard_load(table_.target, table_.load_epoch);
      table_.mark.clear();  // It holds nothing.
    }
    context_.row_errors.store_load(table_.target);
    suspend_table(context_, table_, error);
  }

 private:
  std::int64_t load_slice(connector::TableUnload& unload, std::size_t slice,
                          const model::TableVersionPtr& target, std::stop_token stop) {
    std::unique_ptr<connector::SliceReader> reader = unload.open_slice(slice, stop);
    std::unique_ptr<connector::TargetLoad> load =
        context_.target.load({.table = target,
                              .load_epoch = table_.load_epoch,
                              .slice = slice,
                              .slice_count = unload.slice_count(),
                              .memory_bytes_max = context_.budget.load_slice,
                              .task_start_time = load_started_,
                              .rows_estimate = unload.rows_estimate()});
    LobRule lobs(context_.definition.settings, context_.mapping, context_.on_lob_truncation);
    std::int64_t rows = 0;
    while (std::optional<model::RecordBatch> batch = reader->next(stop)) {
      base::failpoint("during_table_load");
      std::int64_t batch_rows = model::row_count(*batch);
      load->write(lobs.load_batch(std::move(*batch), context_.row_errors.of_loads()),
                  context_.row_errors.of_loads());
      if (context_.row_errors.is_suspended(table_.target)) {
        throw Error(ErrorKind::kTargetTable, context_.row_errors.suspension_reason(table_.target));
      }
      rows += batch_rows;
      context_.observer.table_rows_loaded(table_.source, rows);
    }
    return load->finish();
  }

  const TaskContext& context_;
  TableState table_;
  const base::UnixMicros load_started_;  // Of the task.
};

}  // namespace

std::unique_ptr<connector::TableUnload> hold_for_copy(const TaskContext& context, const TableState& table,
                                                      std::stop_token stop) {
  bool with_cdc = model::has_cdc(context.definition.migration_type);
  connector::UnloadRequest request{
      .table = table.source,
      .range = std::nullopt,
      .batch_bytes_max = std::max(kBatchBytesMin, context.budget.load_slice / kBatchShare),
      .batch_rows_max = kBatchRowsMax,
      .want_mark = with_cdc,
      .lock_timeout = std::chrono::seconds(0)};
  // A source may log a commit before its snapshots see it.
  std::vector<model::TransactionStamp> skipped = context.state.skipped_transactions(table);
  std::unique_ptr<connector::SourceUnload> source = context.source.unload();
  while (true) {
    std::unique_ptr<connector::TableUnload> unload;
    try {
      unload = source->begin(request, stop);
    } catch (const Error& error) {
      // A table that was selected at the start and cannot be loaded is an error; one that came and went is
      // none.
      bool came_later = context.state.phase() == TaskPhase::kChanges;
      if (error.kind() != ErrorKind::kSourceTable || !came_later || is_there(context, table, stop)) throw;
      return nullptr;
    }
    // Made anew meanwhile: the stream tells of that one.
    std::uint64_t number = unload->table()->source_table;
    if (with_cdc && table.source_number != 0 && number != table.source_number) return nullptr;
    bool sees_all = std::ranges::all_of(skipped, [&](const model::TransactionStamp& stamp) {
      return unload->mark()->covers(stamp) == model::Coverage::kInCopy;
    });
    if (sees_all) return unload;
    unload.reset();
    if (!context.clock.wait(kSeenInterval, stop))
      throw Error(ErrorKind::kStopped, "the copy was asked to stop");
  }
}

void forget_gone_table(const TaskContext& context, const TableState& table) {
  base::log_info(base::kTablesManager, "table {} was gone before it was copied",
                 model::to_string(table.source));
  context.state.remove_table(table);
}

void run_full_load(const TaskContext& context, std::stop_token stop) {
  std::vector<TableState> waiting;
  for (TableState& table : context.state.tables()) {
    if (table.copy_as != CopyAs::kLoad) continue;
    if (table.phase == TablePhase::kQueued || table.phase == TablePhase::kLoading)
      waiting.push_back(std::move(table));
  }
  std::ranges::sort(waiting, {}, [&](const TableState& table) {
    return std::tuple(-context.mapping.load_order(table.source), table.source.table, table.source.schema);
  });

  const bool came_later = context.state.phase() == TaskPhase::kChanges;
  const base::UnixMicros load_started = context.state.load_started(context.clock.now());
  std::stop_source all_stop;
  std::stop_callback forward(stop, [&] { all_stop.request_stop(); });
  std::atomic<std::size_t> next_table = 0;
  std::mutex mutex;  // Guards first_error.
  std::exception_ptr first_error;
  auto work = [&] {
    while (!all_stop.stop_requested()) {
      std::size_t at = next_table++;
      if (at >= waiting.size()) return;
      TableLoader loader(context, waiting[at], load_started);
      try {
        try {
          loader.run(all_stop.get_token());
        } catch (const Error& error) {
          // Of tables that were there at the start, begin() has asked before anything was done.
          bool in_the_way = error.kind() == ErrorKind::kTargetForeignObjects && came_later;
          if (base::facts_of(error.kind()).recovery != base::Recovery::kTable && !in_the_way) throw;
          loader.fail(error.what());
        }
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!first_error) first_error = std::current_exception();
        all_stop.request_stop();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    std::size_t count =
        std::min(waiting.size(), static_cast<std::size_t>(std::max<std::int64_t>(1, context.load_threads)));
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back(work);
  }
  if (first_error && !stop.stop_requested()) std::rethrow_exception(first_error);
  if (stop.stop_requested()) throw Error(ErrorKind::kStopped, "the load was asked to stop");
}

}  // namespace ferry::engine
