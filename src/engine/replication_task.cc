#include "engine/replication_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "engine/cdc/change_stream.h"
#include "engine/cdc/frozen_shapes.h"
#include "engine/cdc/table_copies.h"
#include "engine/full_load/full_load.h"
#include "engine/table_shape_text.h"
#include "engine/tables_manager.h"
#include "model/recovery_schedule.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;

// Notes of the engine's own.
constexpr std::string_view kCachedChangesEndKey = "engine.cached_changes_end.key";
constexpr std::string_view kCachedChangesEndText = "engine.cached_changes_end.text";

void require(const std::vector<connector::Prerequisite>& prerequisites, const model::Endpoint& endpoint) {
  for (const connector::Prerequisite& prerequisite : prerequisites) {
    if (prerequisite.met) continue;
    std::string message =
        fmt::format("{}: {} is {}", model::to_string(endpoint), prerequisite.name, prerequisite.seen);
    if (prerequisite.required)
      throw Error(prerequisite.kind, {.message = message, .remedy = prerequisite.remedy});
    base::log_warning(base::kTaskManager, "{}. {}", message, prerequisite.remedy);
  }
}

void set_tables(connector::CaptureScope& scope, const std::vector<TableState>& tables) {
  for (const TableState& table : tables) {
    bool is_gone = table.phase == TablePhase::kDropped || table.phase == TablePhase::kLeft;
    if (table.phase != TablePhase::kError && !is_gone) scope.tables.push_back(table.source);
    // One that has left is new when it comes back.
    if (table.source_number != 0 && table.phase != TablePhase::kLeft)
      scope.known_tables.insert(table.source_number);
  }
}

// With --restart the journal still lists what earlier loads wrote, and under DO_NOTHING that stays.
std::uint64_t last_load_epoch(const TaskState& state, const model::TableName& target) {
  std::uint64_t last = 0;
  for (const connector::ObjectRecord& object : state.objects(target)) {
    if (object.phase == connector::ObjectPhase::kLoad) last = std::max(last, object.load_epoch);
  }
  return last;
}

Error two_tables_in_one(const model::TableName& first, const model::TableName& second,
                        const model::TableName& target) {
  return Error(
      ErrorKind::kUnsupported,
      {.message = fmt::format("the transformation rules make {} of two tables, {} and {}",
                              model::to_string(target), model::to_string(first), model::to_string(second)),
       .remedy = "Give each table a name of its own on the target, or its own task and folder."});
}

// The log is kept from some moment behind the first look at the tables on. Where one has changed between,
// nobody knows the shape of its first changes. A load looks once more.
void forget_changed_shapes(connector::SourceCatalog& catalog, std::vector<TableState>& tables,
                           std::stop_token stop) {
  for (TableState& table : tables) {
    if (table.last_shape.empty()) continue;
    try {
      model::TableVersionPtr now = catalog.describe(table.source, stop);
      if (now->source_table == table.source_number && shape_text(*now) == table.last_shape) continue;
    } catch (const Error& error) {
      if (base::facts_of(error.kind()).recovery != base::Recovery::kTable) throw;
    }
    table.last_shape.clear();
  }
}

// A state that was put back from an older copy does not know the objects written since, and would have their
// changes written once more.
void require_newest(const TaskContext& context, connector::TargetTables& tables, const TableState& table) {
  auto named = std::make_shared<model::TableVersion>();
  named->name = table.target;
  try {
    tables.check({.table = std::move(named),
                  .mode = connector::PrepMode::kDoNothing,
                  .changes_only = !model::has_full_load(context.definition.migration_type)});
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kTargetForeignObjects) throw;
    throw Error(
        ErrorKind::kTargetForeignObjects,
        {.message = error.message(),
         .remedy =
             "If the task's state was put back from an older copy, put the newest one back, or load anew "
             "with --restart --overwrite. If somebody else wrote these objects, move them away."});
  }
}

// Adds those of the shape that the table has on the target.
void add_unconstrained_numerics(const TableState& table, std::vector<std::string>& names) {
  const std::string& shape = table.shape.empty() ? table.last_shape : table.shape;
  if (shape.empty() || table.phase == TablePhase::kError) return;
  for (const model::Column& column : parse_shape(shape).columns) {
    if (column.type.is_unconstrained_numeric())
      names.push_back(fmt::format("{}.{}", model::to_string(table.source), column.name));
  }
}

// A stop is what was asked for, also where the next attempt would have been needed to go on.
Error stopped_by(const Error& error) {
  return Error(ErrorKind::kStopped, fmt::format("the task was asked to stop after: {}", error.what()));
}

}  // namespace

ReplicationTask::ReplicationTask(const model::TaskDefinition& definition,
                                 const mapping::TableMapping& mapping, const connector::Registry& registry,
                                 TaskState& state, TaskObserver& observer, base::Clock& clock,
                                 TaskOptions options)
    : definition_(definition),
      mapping_(mapping),
      registry_(registry),
      state_(state),
      observer_(observer),
      clock_(clock),
      options_(options),
      row_errors_(state, state.folder() / "row_errors", definition.settings.error_behavior) {}

TaskResult ReplicationTask::run(std::stop_token stop) {
  queue_failed_loads();
  for (int retry = 0;; ++retry) {
    std::string before = progress();
    try {
      return attempt(stop);
    } catch (const Error& error) {
      if (base::facts_of(error.kind()).recovery != base::Recovery::kRecoverable) throw;
      if (stop.stop_requested()) throw stopped_by(error);
      if (!in_contact_ && options_.fail_on_first_contact) throw;
      if (progress() != before) retry = 0;
      model::Phase phase =
          state_.phase() == TaskPhase::kNew ? model::Phase::kStarting : model::Phase::kRunning;
      auto wait = model::wait_before_retry(definition_.settings.error_behavior, retry, phase);
      if (!wait) throw;
      base::log_warning(base::kTaskManager, "{} (trying again in {} s)", error.what(), wait->count());
      observer_.retrying(error.what(), wait->count());
      if (!clock_.wait(*wait, stop)) throw stopped_by(error);
    }
  }
}

// A table that was suspended before it was ever loaded has nothing that could be lost, and its user may have
// mended what was wrong. With changes it is forgotten, so that the capture finds it as it finds a new table:
// it may not have captured its changes until now.
void ReplicationTask::queue_failed_loads() {
  if (!model::has_full_load(definition_.migration_type)) return;
  for (TableState& table : state_.tables()) {
    if (table.phase != TablePhase::kError || !table.mark.empty()) continue;
    base::log_info(base::kTablesManager, "table {} is tried again, which was suspended: {}",
                   model::to_string(table.source), table.error);
    if (model::has_cdc(definition_.migration_type)) {
      state_.remove_table(table);
      continue;
    }
    table.phase = TablePhase::kQueued;
    table.error.clear();
    state_.set_table(table);
    if (state_.phase() == TaskPhase::kFinished) state_.set_phase(TaskPhase::kLoading);
  }
}

// Differs after an attempt that did something which the next one need not do again.
std::string ReplicationTask::progress() const {
  std::optional<model::Checkpoint> checkpoint = state_.checkpoint();
  return fmt::format("{} {} {}", static_cast<int>(state_.phase()),
                     std::ranges::count(state_.tables(), TablePhase::kLoaded, &TableState::phase),
                     checkpoint ? checkpoint->resume_position.text() : "");
}

std::unique_ptr<connector::Source> ReplicationTask::open_source() const {
  return connector::find_connector(registry_, definition_.source, model::EndpointRole::kSource)
      .open_source(definition_.source);
}

std::unique_ptr<connector::Target> ReplicationTask::open_target(std::stop_token stop) {
  connector::TargetContext context{
      .journal = state_, .clock = clock_, .scratch = state_.folder(), .stop = std::move(stop)};
  if (mapping_.has_tags()) context.tags = std::bind_front(&mapping::TableMapping::tags, &mapping_);
  return connector::find_connector(registry_, definition_.target, model::EndpointRole::kTarget)
      .open_target(definition_.target, context);
}

TaskResult ReplicationTask::attempt(std::stop_token stop) {
  std::unique_ptr<connector::Source> source = open_source();
  std::unique_ptr<connector::Target> target = open_target(stop);
  TaskContext context{.definition = definition_,
                      .mapping = mapping_,
                      .source = *source,
                      .target = *target,
                      .state = state_,
                      .row_errors = row_errors_,
                      .observer = observer_,
                      .clock = clock_,
                      .foreign_objects = foreign_objects(),
                      .load_threads = options_.load_threads,
                      .on_lob_truncation = options_.on_lob_truncation,
                      .gather_interval = options_.gather_interval,
                      .budget = MemoryBudget::of(definition_.settings, options_.load_threads)};

  if (state_.phase() == TaskPhase::kFinished) return result(TaskEnd::kAlreadyFinished, context);
  check(context, stop);

  bool with_cdc = model::has_cdc(definition_.migration_type);
  std::unique_ptr<connector::SourceCapture> capture = with_cdc ? source->capture(state_) : nullptr;
  // A target that keeps the checkpoint itself knows better than any copy of the state.
  bool knows_all = state_.phase() == TaskPhase::kChanges && !target->capabilities().atomic_checkpoint &&
                   context.foreign_objects == connector::ForeignObjects::kRefuse;
  if (state_.phase() == TaskPhase::kNew) {
    begin(context, capture.get(), stop);
  } else if (capture) {
    capture->verify(capture_scope(), *state_.checkpoint(), stop);
  }
  if (capture) observer_.created_on_source(capture->created());

  std::unique_ptr<connector::TargetTables> tables = target->tables();
  for (const TableState& table : state_.tables()) {
    if (table.phase == TablePhase::kError) continue;
    tables->sweep(table.target);
    if (knows_all) require_newest(context, *tables, table);
  }

  if (state_.phase() == TaskPhase::kLoading) {
    run_full_load(context, stop);
    finish_load(capture.get(), stop);
    if (!with_cdc) return result(TaskEnd::kFullLoadFinished, context);
    if (definition_.settings.full_load.stop_task_cached_changes_not_applied) {
      return result(TaskEnd::kAfterFullLoad, context);
    }
  }

  StreamTotals totals;
  StreamEnd end = StreamEnd::kPaused;
  while (true) {
    copy_tables(context, *capture, totals, stop);
    end = run_change_stream(context, *capture, cached_changes_end(), totals, stop);
    if (end != StreamEnd::kPaused) break;
    capture.reset();
    capture = source->capture(state_);
    capture->verify(capture_scope(), *state_.checkpoint(), stop);
  }
  base::failpoint("before_final_state");
  TaskResult done =
      result(end == StreamEnd::kReachedEnd ? TaskEnd::kAfterCachedChanges : TaskEnd::kStopped, context);
  done.transactions = totals.transactions;
  done.rows_changed = totals.rows;
  return done;
}

void ReplicationTask::finish_load(connector::SourceCapture* capture, std::stop_token stop) {
  base::failpoint("before_load_finished");
  // The changes up to here are DMS's cached changes: what happened while tables were being loaded.
  if (capture != nullptr && definition_.settings.full_load.stop_task_cached_changes_applied) {
    model::StreamPosition end = capture->current_position(stop);
    state_.set(kCachedChangesEndKey, end.key());
    state_.set(kCachedChangesEndText, end.text());
  }
  state_.set_phase(capture != nullptr ? TaskPhase::kChanges : TaskPhase::kFinished);
  base::failpoint("after_load_finished");
  observer_.load_finished(
      capture != nullptr ? capture->log_bytes_since(state_.checkpoint()->resume_position, stop) : -1);
}

// Where the stream is to stop by itself: nowhere once it has been there, so that the next start goes on.
std::optional<model::StreamPosition> ReplicationTask::cached_changes_end() const {
  std::optional<std::string> key = state_.get(kCachedChangesEndKey);
  if (!key || !definition_.settings.full_load.stop_task_cached_changes_applied) return std::nullopt;
  model::StreamPosition end(*key, state_.get(kCachedChangesEndText).value_or(""));
  if (state_.checkpoint()->resume_position >= end) return std::nullopt;
  return end;
}

void ReplicationTask::check(const TaskContext& context, std::stop_token stop) {
  bool begins_capture = model::has_cdc(definition_.migration_type) && state_.phase() == TaskPhase::kNew;
  require(context.source.check(begins_capture, stop), definition_.source);
  require(context.target.check(stop), definition_.target);
  in_contact_ = true;
}

// From nothing to tables and a capture's start in the state.
void ReplicationTask::begin(const TaskContext& context, connector::SourceCapture* capture,
                            std::stop_token stop) {
  bool with_load = model::has_full_load(definition_.migration_type);
  std::vector<TableState> tables;
  std::unique_ptr<connector::SourceCatalog> catalog = context.source.catalog();
  std::unique_ptr<connector::TargetTables> target_tables = context.target.tables();
  remove_unfinished(*target_tables);
  state_.forget_former_run();
  std::map<model::TableName, model::TableName> sources;  // By target.
  for (const model::TableName& name : select_tables(context, stop)) {
    auto [other, is_new] = sources.emplace(target_name(context, name), name);
    if (!is_new) throw two_tables_in_one(other->second, name, other->first);
    TableState table{.source = name,
                     .target = target_name(context, name),
                     .phase = with_load ? TablePhase::kQueued : TablePhase::kLoaded,
                     .load_epoch = last_load_epoch(state_, target_name(context, name))};
    try {
      model::TableVersionPtr version = catalog->describe(name, stop);
      table.source_number = version->source_table;
      // A stream that starts in the past tells of the shape of that time.
      if (definition_.cdc_start_position.empty()) {
        table.last_shape = shape_text(*version);
        if (keeps_shapes(definition_.settings)) table.shape = table.last_shape;
      }
      target_tables->check({.table = target_version(context, version),
                            .mode = prep_mode(context),
                            .foreign = context.foreign_objects,
                            .changes_only = !with_load});
    } catch (const Error& error) {
      if (base::facts_of(error.kind()).recovery != base::Recovery::kTable) throw;
      table.phase = TablePhase::kError;
      table.error = error.what();
      suspend_table(context, table, table.error);
    }
    tables.push_back(std::move(table));
  }
  observer_.tables_selected(tables.size());

  if (capture != nullptr) {
    connector::CaptureScope scope = capture_scope();
    set_tables(scope, tables);
    base::failpoint("before_capture_prepared");
    connector::CaptureStart start = capture->prepare(scope, stop);
    base::failpoint("after_capture_prepared");
    if (!with_load) forget_changed_shapes(*catalog, tables, stop);
    base::failpoint("before_start_stored");
    state_.set_checkpoint(
        {.identity = start.identity, .resume_position = start.position, .applied_through = {}});
  }
  state_.add_tables(tables);
  state_.set_phase(with_load ? TaskPhase::kLoading : TaskPhase::kChanges);
  base::failpoint("after_start_stored");
}

// What killed runs left of the tables that the state lists, whether or not the next run selects them: half a
// load would pass for a whole one.
void ReplicationTask::remove_unfinished(connector::TargetTables& target) {
  std::optional<model::Checkpoint> checkpoint = state_.checkpoint();
  for (const TableState& table : state_.tables()) {
    if (table.phase == TablePhase::kError) continue;
    target.sweep(table.target);
    if (table.phase != TablePhase::kLoading) continue;
    if (table.copy_as == CopyAs::kLoad) {
      target.discard_load(table.target, table.load_epoch);
    } else if (!checkpoint || checkpoint->applied_through < table.copy_position) {
      target.discard_changes(table.target, table.copy_position);
    }
  }
}

// Without a load nothing is removed, whatever the settings say of one.
connector::ForeignObjects ReplicationTask::foreign_objects() const {
  bool removes = options_.foreign_objects == connector::ForeignObjects::kRemove;
  return removes && !model::has_full_load(definition_.migration_type) ? connector::ForeignObjects::kRefuse
                                                                      : options_.foreign_objects;
}

connector::CaptureScope ReplicationTask::capture_scope() {
  connector::CaptureScope scope;
  scope.task_name = state_.task_name();
  set_tables(scope, state_.tables());
  scope.selects = [&mapping = mapping_](const model::TableName& name) {
    return mapping.selects(name, model::TableKind::kTable);
  };
  scope.start_position = definition_.cdc_start_position;
  scope.transaction_consistency_timeout =
      std::chrono::seconds(definition_.settings.full_load.transaction_consistency_timeout_s);
  return scope;
}

std::vector<std::string> ReplicationTask::clean_source(std::stop_token stop) {
  return open_source()->capture(state_)->clean(capture_scope(), stop);
}

void ReplicationTask::clean_target(std::stop_token stop) {
  remove_unfinished(*open_target(std::move(stop))->tables());
}

TaskResult ReplicationTask::result(TaskEnd end, const TaskContext& context) const {
  TaskResult result;
  result.end = end;
  std::vector<TableState> tables = state_.tables();
  std::map<model::TableName, ChangeCounts> change_counts = state_.change_counts();
  for (TableState& table : tables) {
    // One line for each name: the table that has it, not one that had it before.
    bool has_successor = std::ranges::any_of(tables, [&](const TableState& other) {
      return other.source == table.source && other.source_number != table.source_number &&
             other.phase != TablePhase::kDropped;
    });
    if (table.phase == TablePhase::kDropped && has_successor) continue;
    add_unconstrained_numerics(table, result.unconstrained_numerics);
    RowCounts counts = context.row_errors.counts_of(table.target);
    TableResult line{.source = table.source,
                     .phase = table.phase,
                     .rows_loaded = table.rows_loaded,
                     .error = std::move(table.error),
                     .statistics = {}};
    const ChangeCounts& changes = change_counts[table.source];
    line.statistics.full_load_rows = table.rows_loaded;
    // After a kill, what was refused may be stored before what it was refused of.
    line.statistics.inserts = std::max<std::int64_t>(0, changes.inserts - counts.refused.inserts);
    line.statistics.updates = std::max<std::int64_t>(0, changes.updates - counts.refused.updates);
    line.statistics.deletes = std::max<std::int64_t>(0, changes.deletes - counts.refused.deletes);
    line.statistics.ddls = changes.ddls;
    line.statistics.full_load_error_rows = counts.load_errors;
    line.statistics.change_error_rows = counts.change_errors;
    line.statistics.data_warnings = counts.load_warnings + counts.change_warnings;
    result.row_errors += counts.load_errors + counts.change_errors;
    result.data_warnings += line.statistics.data_warnings;
    result.tables.push_back(std::move(line));
  }
  result.row_errors_file = context.row_errors.file().string();
  return result;
}

}  // namespace ferry::engine
