#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "connectors/s3/change_rows.h"
#include "connectors/s3/object_names.h"
#include "connectors/s3/target.h"

// Changes as objects. Each table has at most one open object, which collects the table's rows in commit order
// until its time or size is reached, or their date partition ends. Then its key and its cut (the first and
// last change in it) are stored, the object is published, and the record is marked done. After a crash the
// source sends the same changes again: those an object of the journal holds already are skipped, those of an
// object that was intended but not done are collected again into the same key, and cut at the same change. So
// a change is in exactly one object, whatever the clock says.
namespace ferry::s3 {
namespace {

using base::Error;
using base::ErrorKind;
using connector::ApplyRequest;
using connector::ChangePoint;
using connector::ObjectPhase;
using connector::ObjectRecord;
using model::Change;
using model::ChangeKind;
using model::Checkpoint;

constexpr base::UnixMicros kMicrosPerMinute = 60'000'000;
// How often the due times of open objects are looked at.
constexpr std::chrono::milliseconds kTickInterval{100};
constexpr std::int64_t kRowGroupBytes = 4 << 20;
// What open objects hold is added up after so many rows, or with the first transaction after this time.
constexpr std::int64_t kReliefRows = 1024;
constexpr std::chrono::milliseconds kReliefInterval{10};
constexpr auto kNever = std::chrono::steady_clock::time_point::max();

base::UnixMicros floor_to(base::UnixMicros time, base::UnixMicros unit) {
  return time - (time % unit + unit) % unit;
}

// An object that collects rows.
struct OpenObject {
  std::unique_ptr<StagedObject> staged;
  std::unique_ptr<formats::ObjectWriter> writer;  // Writes into `staged`.
  model::TableVersionPtr shape;
  std::optional<ObjectRecord> intent;  // The journal's record that this object fulfils again.
  std::string partition;               // The folder of its rows' date; empty without date partitions.
  ChangePoint first;
  ChangePoint last;
  base::UnixMicros last_commit_time = 0;
  Checkpoint before;  // Everything before the object's first change is durable with this.
  std::chrono::steady_clock::time_point due;
};

// One target table's objects.
struct TableStream {
  std::string prefix;
  std::optional<ChangePoint> written_through;  // The last change in a done object.
  std::deque<ObjectRecord> intents;            // Not done, by cut.
  base::UnixMicros last_name_time = 0;         // As the name says it: in the date partitions' zone.
  std::optional<OpenObject> open;
};

Error replay_differs(const model::TableName& table, const ObjectRecord& intent, std::int64_t rows) {
  return Error(ErrorKind::kInternal,
               {.message = fmt::format(
                    "the changes of {} that came again differ from those that {} was to hold: {} rows "
                    "instead of {}",
                    model::to_string(table), intent.key, rows, intent.rows),
                .remedy = "Please report this. Load the tables anew with --restart."});
}

// How many objects may be staged at once. The other half of the files that the process may have open is for
// connections, spilled transactions and the state.
std::ptrdiff_t staged_max() {
  constexpr rlim_t kStagedMin = 16;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return kStagedMin;
  return static_cast<std::ptrdiff_t>(std::max(kStagedMin, files.rlim_cur / 2));
}

class S3TargetApply final : public connector::TargetApply {
 public:
  S3TargetApply(std::shared_ptr<SharedTarget> target, ApplyRequest request)
      : target_(std::move(target)), request_(request), staged_max_(staged_max()) {}

  std::optional<Checkpoint> recover(const Checkpoint& local) override {
    accepted_ = local;
    return std::nullopt;
  }

  void apply(model::Transaction& transaction, const Checkpoint& after, model::RowErrorSink& errors) override {
    ordinals_.clear();
    const model::TransactionStamp& stamp = transaction.stamp();
    if (target_->settings().date_partition) enter_partition(stamp.commit_time);
    for (Change change; transaction.next(change);) {
      // A new shape shows itself with the first row that has it.
      if (change.kind == ChangeKind::kSchemaChange) continue;
      const model::TableName& name = (*change.table)->name;
      TableStream& stream = stream_of(name);
      ChangePoint point{.commit = stamp.commit_position, .ordinal = ordinals_[&stream]++};
      bool outside =
          stamp.id == 0;  // Outside any transaction: seen when it was looked at, not in the log's order.
      if (!outside && stream.written_through && point <= *stream.written_through) continue;
      switch (change.kind) {
        case ChangeKind::kInsert:
        case ChangeKind::kUpdate:
        case ChangeKind::kDelete: add_rows(stream, change, stamp, point, errors); break;
        case ChangeKind::kTruncate: remove_table(stream, name, request_.remove_on_truncate); break;
        case ChangeKind::kDrop: remove_table(stream, name, request_.remove_on_drop && !outside); break;
        default: break;
      }
    }
    accepted_ = after;
    if (target_->clock().steady_now() >= relief_due_) relieve_memory();
  }

  void advance(const Checkpoint& after) override { accepted_ = after; }

  void tick() override {
    auto now = target_->clock().steady_now();
    if (now < earliest_due_) return;
    earliest_due_ = kNever;
    for (auto& [name, stream] : streams_) {
      // An object with a stored cut is closed by its cut alone.
      if (stream.open && !stream.open->intent && stream.open->due <= now) close(name, stream);
      if (stream.open) earliest_due_ = std::min(earliest_due_, stream.open->due);
    }
  }

  std::chrono::milliseconds tick_interval() const override { return kTickInterval; }

  void flush() override {
    for (auto& [name, stream] : streams_) {
      if (stream.open && !stream.open->intent) close(name, stream);
    }
  }

  Checkpoint durable() const override {
    Checkpoint durable = accepted_;
    for (const auto& [name, stream] : streams_) {
      if (stream.open && stream.open->before.resume_position < durable.resume_position)
        durable = stream.open->before;
    }
    return durable;
  }

 private:
  TableStream& stream_of(const model::TableName& name) {
    auto found = streams_.find(name);
    if (found != streams_.end()) return found->second;
    TableStream stream;
    stream.prefix = table_prefix(target_->settings().folder, name);
    if (std::optional<ObjectRecord> last = target_->journal().last_changes(name)) {
      stream.last_name_time = time_of_change_name(name_of(last->key)).value_or(0);
    }
    for (ObjectRecord& object : target_->journal().objects(name)) {
      if (object.phase != ObjectPhase::kChanges) continue;
      if (!object.done) {
        stream.intents.push_back(std::move(object));
      } else if (!object.last.commit.empty() &&
                 (!stream.written_through || *stream.written_through < object.last)) {
        stream.written_through = object.last;
      }
    }
    return streams_.emplace(name, std::move(stream)).first->second;
  }

  // The folder of what is committed at this time. A partition begins and ends with a minute.
  void enter_partition(base::UnixMicros commit_time) {
    base::UnixMicros minute = floor_to(commit_time, kMicrosPerMinute);
    if (minute == partition_minute_) return;
    partition_minute_ = minute;
    const DatePartition& partitions = *target_->settings().date_partition;
    partition_ = partitions.folder(partitions.local(commit_time));
  }

  void add_rows(TableStream& stream, const Change& change, const model::TransactionStamp& stamp,
                const ChangePoint& point, model::RowErrorSink& errors) {
    const model::TableVersionPtr& table = *change.table;
    ChangeRows rows = rows_of(change, stamp.commit_time, target_->settings());
    if (rows.empty()) return;

    OpenObject& object = object_for(stream, table, point);
    bool taken = false;
    for (const formats::ChangeRow& row : rows) taken |= object.writer->write_change(row, errors);
    if (taken) {
      if (object.first.commit.empty()) object.first = point;
      object.last = point;
      object.last_commit_time = std::max(object.last_commit_time, stamp.commit_time);
    }

    if (++rows_since_relief_ >= kReliefRows) relieve_memory();
    if (!stream.open) return;
    bool at_cut = object.intent ? object.intent->last <= point
                                : object.writer->bytes() >= target_->settings().cdc_bytes_min;
    if (at_cut) close(table->name, stream);
  }

  // The open object that takes the change at `point`, with the table's shape.
  OpenObject& object_for(TableStream& stream, const model::TableVersionPtr& table, const ChangePoint& point) {
    if (stream.open) {
      bool same_shape = stream.open->shape == table || stream.open->shape->columns == table->columns;
      bool beyond_cut = stream.open->intent && stream.open->intent->last < point;
      bool same_partition = stream.open->partition == partition_;
      if (same_shape && same_partition && !beyond_cut) return *stream.open;
      close(table->name, stream);
    }
    auto is_open = [](const auto& each) { return each.second.open.has_value(); };
    // All of them, for then the next ones have room again.
    if (std::ranges::count_if(streams_, is_open) >= staged_max_) flush();
    OpenObject& object = stream.open.emplace();
    object.shape = table;
    object.partition = partition_;
    object.before = accepted_;
    object.due = target_->clock().steady_now() + target_->settings().cdc_max_batch_interval;
    earliest_due_ = std::min(earliest_due_, object.due);
    if (!stream.intents.empty()) {
      // The stream came back from before the intent, so its rows come before any later one.
      if (stream.intents.front().last < point) throw replay_differs(table->name, stream.intents.front(), 0);
      object.intent = std::move(stream.intents.front());
      stream.intents.pop_front();
    }
    object.staged = target_->store().stage({.prefix = stream.prefix, .tags = target_->tags(table->name)});
    object.writer =
        make_writer(target_->settings(), *object.staged, changes_shape(target_->settings(), table),
                    {.row_group_bytes_max = kRowGroupBytes, .rows_estimate = -1});
    return object;
  }

  void close(const model::TableName& name, TableStream& stream) {
    // From here on the object is no longer open, whatever happens: a failure ends the task.
    OpenObject object = std::move(*stream.open);
    stream.open.reset();
    std::int64_t rows = object.writer->rows();
    if (object.intent && (object.intent->rows != rows || object.intent->last != object.last)) {
      throw replay_differs(name, *object.intent, rows);
    }
    if (rows == 0) return;
    object.writer->finish();
    ObjectRecord record;
    if (object.intent) {
      record = std::move(*object.intent);
    } else {
      record = {.table = name,
                .phase = ObjectPhase::kChanges,
                .load_epoch = 0,
                .key = stream.prefix + object.partition + next_name(stream, object),
                .first = object.first,
                .last = object.last,
                .rows = rows,
                .done = false};
    }
    target_->publish(*object.staged, record);
    stream.written_through = record.last;
    stream.last_name_time =
        std::max(stream.last_name_time, time_of_change_name(name_of(record.key)).value_or(0));
  }

  // Names of a table strictly increase, and none is earlier than a commit in its object.
  std::string next_name(const TableStream& stream, const OpenObject& object) const {
    base::UnixMicros time = std::max(target_->clock().now(), object.last_commit_time);
    if (const auto& partitions = target_->settings().date_partition) time = partitions->local(time);
    return change_name(next_name_time(time, stream.last_name_time), target_->settings().extension());
  }

  void remove_table(TableStream& stream, const model::TableName& name, bool remove) {
    if (!remove) {
      base::log_for_table(
          base::Severity::kWarning, base::kTargetApply,
          "{} was truncated or dropped on the source; its objects stay, because the task's settings do "
          "not name HandleSourceTableTruncated or HandleSourceTableDropped",
          model::to_string(name));
      if (stream.open && !stream.open->intent) close(name, stream);
      return;
    }
    stream.open.reset();
    stream.intents.clear();
    for (const ObjectRecord& object : target_->journal().objects(name)) {
      target_->remove(object.key);
      target_->journal().forget(name, object.key);
    }
  }

  // Closes the largest objects early rather than hold more than the task may.
  void relieve_memory() {
    rows_since_relief_ = 0;
    relief_due_ = target_->clock().steady_now() + kReliefInterval;
    auto held = [](const TableStream& stream) {
      return stream.open ? stream.open->writer->memory_bytes() + stream.open->staged->memory_bytes() : 0;
    };
    while (true) {
      std::int64_t total = 0;
      auto largest = streams_.end();
      for (auto at = streams_.begin(); at != streams_.end(); ++at) {
        total += held(at->second);
        bool closable = at->second.open && !at->second.open->intent;
        if (closable && (largest == streams_.end() || held(at->second) > held(largest->second))) largest = at;
      }
      if (total <= request_.memory_bytes_max || largest == streams_.end()) return;
      close(largest->first, largest->second);
    }
  }

  const std::shared_ptr<SharedTarget> target_;
  const ApplyRequest request_;
  const std::ptrdiff_t staged_max_;
  std::map<model::TableName, TableStream> streams_;
  std::map<const TableStream*, std::uint64_t> ordinals_;  // Of the transaction being applied.
  Checkpoint accepted_;
  std::string partition_;  // Of the transaction being applied.
  base::UnixMicros partition_minute_ = -1;
  // Looking at every table's object costs more than most transactions, so it is not done for each.
  std::chrono::steady_clock::time_point earliest_due_ = kNever;
  std::chrono::steady_clock::time_point relief_due_{};
  std::int64_t rows_since_relief_ = 0;
};

}  // namespace

std::unique_ptr<connector::TargetApply> make_apply(std::shared_ptr<SharedTarget> target,
                                                   const ApplyRequest& request) {
  if (target->settings().preserves_transactions()) return make_transactions_apply(std::move(target), request);
  return std::make_unique<S3TargetApply>(std::move(target), request);
}

}  // namespace ferry::s3
