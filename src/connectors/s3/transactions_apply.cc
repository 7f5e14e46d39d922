#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "connectors/s3/change_rows.h"
#include "connectors/s3/object_names.h"
#include "connectors/s3/target.h"
#include "formats/csv/csv_writer.h"

// Changes of all tables as one stream of objects (DMS's PreserveTransactions). An object holds whole
// transactions in their order; its cut is a commit. As with objects of one table, key and cut are stored
// before the object is published, and after a crash the same transactions go into the same key.
namespace ferry::s3 {
namespace {

using base::Error;
using base::ErrorKind;
using connector::ApplyRequest;
using connector::ObjectPhase;
using connector::ObjectRecord;
using model::Change;
using model::ChangeKind;
using model::Checkpoint;
using model::StreamPosition;

constexpr std::chrono::milliseconds kTickInterval{100};

struct OpenObject {
  std::unique_ptr<StagedObject> staged;
  std::unique_ptr<formats::TransactionsWriter> writer;  // Writes into `staged`.
  std::optional<ObjectRecord> intent;  // The journal's record that this object fulfils again.
  StreamPosition first;                // Commits.
  StreamPosition last;
  base::UnixMicros last_commit_time = 0;
  Checkpoint before;  // Everything before the object's first transaction is durable with this.
  std::chrono::steady_clock::time_point due;
};

class TransactionsApply final : public connector::TargetApply {
 public:
  TransactionsApply(std::shared_ptr<SharedTarget> target, ApplyRequest request)
      : target_(std::move(target)), request_(request), folder_(target_->settings().transactions_folder) {
    auto note_name = [&](std::string_view key) {
      last_name_time_ = std::max(last_name_time_, time_of_transactions_name(name_of(key)).value_or(0));
    };
    // Those of earlier tasks too: names in the folder are in the order of transactions.
    for (const std::string& key : target_->store().list(folder_)) note_name(key);
    for (ObjectRecord& object : target_->journal().objects(kAllTables)) {
      note_name(object.key);
      if (!object.done) {
        intents_.push_back(std::move(object));
      } else {
        written_through_ = std::max(written_through_, object.last.commit);
      }
    }
    target_->store().sweep(folder_);
  }

  std::optional<Checkpoint> recover(const Checkpoint& local) override {
    accepted_ = local;
    return std::nullopt;
  }

  void apply(model::Transaction& transaction, const Checkpoint& after, model::RowErrorSink& errors) override {
    const model::TransactionStamp& stamp = transaction.stamp();
    bool outside = stamp.id == 0;  // Tables that changed, outside any transaction.
    bool written = !outside && stamp.commit_position <= written_through_;
    if (!outside) leave_intents_before(stamp.commit_position);
    for (Change change; transaction.next(change);) {
      if (written) continue;
      switch (change.kind) {
        case ChangeKind::kInsert:
        case ChangeKind::kUpdate:
        case ChangeKind::kDelete: add_rows(change, stamp, errors); break;
        case ChangeKind::kTruncate: remove_loads((*change.table)->name, request_.remove_on_truncate); break;
        case ChangeKind::kDrop:
          remove_loads((*change.table)->name, request_.remove_on_drop && !outside);
          break;
        default: break;
      }
    }
    accepted_ = after;
    if (!object_) return;
    const std::optional<ObjectRecord>& intent = object_->intent;
    bool at_cut = intent ? intent->last.commit <= stamp.commit_position
                         : object_->writer->bytes() >= target_->settings().cdc_bytes_min;
    if (at_cut) close();
  }

  void advance(const Checkpoint& after) override { accepted_ = after; }

  void tick() override {
    // An object with a stored cut is closed by its cut alone.
    if (object_ && !object_->intent && object_->due <= target_->clock().steady_now()) close();
  }
  std::chrono::milliseconds tick_interval() const override { return kTickInterval; }

  void flush() override {
    if (object_ && !object_->intent) close();
  }

  Checkpoint durable() const override { return object_ ? object_->before : accepted_; }

 private:
  void add_rows(const Change& change, const model::TransactionStamp& stamp, model::RowErrorSink& errors) {
    ChangeRows rows = rows_of(change, stamp.commit_time, target_->settings());
    if (rows.empty()) return;
    OpenObject& object = object_for(stamp);
    bool taken = false;
    for (const formats::ChangeRow& row : rows)
      taken |= object.writer->write_change(*change.table, row, errors);
    if (!taken) return;
    if (object.first.empty()) object.first = stamp.commit_position;
    object.last = stamp.commit_position;
    object.last_commit_time = std::max(object.last_commit_time, stamp.commit_time);
  }

  // What an intent was to hold and does not come again is of tables that were suspended since.
  void leave_intents_before(const StreamPosition& commit) {
    if (object_ && object_->intent && object_->intent->last.commit < commit) close();
    while (!intents_.empty() && intents_.front().last.commit < commit) {
      tell_of_missing(intents_.front(), 0);
      target_->remove(intents_.front().key);
      target_->journal().forget(kAllTables, intents_.front().key);
      intents_.pop_front();
    }
  }

  static void tell_of_missing(const ObjectRecord& intent, std::int64_t rows) {
    if (rows == intent.rows) return;
    base::log_warning(
        base::kTargetApply,
        "{} was to hold {} rows and holds {}: changes of tables that are suspended came no second time",
        intent.key, intent.rows, rows);
  }

  OpenObject& object_for(const model::TransactionStamp& stamp) {
    if (object_) return *object_;
    OpenObject& object = object_.emplace();
    object.before = accepted_;
    object.due = target_->clock().steady_now() + target_->settings().cdc_max_batch_interval;
    if (!intents_.empty() && stamp.commit_position >= intents_.front().first.commit) {
      object.intent = std::move(intents_.front());
      intents_.pop_front();
    }
    const S3TargetSettings& settings = target_->settings();
    object.staged = target_->store().stage({.prefix = folder_});
    object.writer =
        formats::make_csv_transactions_writer(*object.staged, settings.timestamp_column_name, settings.csv);
    return object;
  }

  void close() {
    // From here on the object is no longer open, whatever happens: a failure ends the task.
    OpenObject object = std::move(*object_);
    object_.reset();
    std::int64_t rows = object.writer->rows();
    if (object.intent && rows > object.intent->rows) {
      throw Error(ErrorKind::kInternal,
                  {.message = fmt::format(
                       "the transactions that came again differ from those that {} was to hold: {} "
                       "rows instead of {}",
                       object.intent->key, rows, object.intent->rows),
                   .remedy = "Please report this. Load the tables anew with --restart."});
    }
    if (rows == 0) return;
    if (object.intent) tell_of_missing(*object.intent, rows);
    object.writer->finish();
    ObjectRecord record;
    if (object.intent) {
      record = std::move(*object.intent);
    } else {
      base::UnixMicros time = std::max(target_->clock().now(), object.last_commit_time);
      last_name_time_ = next_name_time(time, last_name_time_);
      record = {.table = kAllTables,
                .phase = ObjectPhase::kChanges,
                .load_epoch = 0,
                .key = folder_ + transactions_name(last_name_time_, target_->settings().csv_extension()),
                .first = {.commit = object.first, .ordinal = 0},
                .last = {.commit = object.last, .ordinal = 0},
                .rows = rows,
                .done = false};
    }
    target_->publish(*object.staged, record);
    written_through_ = std::max(written_through_, record.last.commit);
  }

  // Transactions hold other tables' changes too, and stay.
  void remove_loads(const model::TableName& table, bool remove) {
    if (!remove) {
      base::log_warning(
          base::kTargetApply,
          "{} was truncated or dropped on the source; its objects stay, because the task's settings do "
          "not name HandleSourceTableTruncated or HandleSourceTableDropped",
          model::to_string(table));
      return;
    }
    for (const ObjectRecord& object : target_->journal().objects(table)) {
      target_->remove(object.key);
      target_->journal().forget(table, object.key);
    }
  }

  const std::shared_ptr<SharedTarget> target_;
  const ApplyRequest request_;
  const std::string folder_;
  std::optional<OpenObject> object_;
  std::deque<ObjectRecord> intents_;  // Not done, by cut.
  StreamPosition written_through_;    // The last commit in a done object.
  base::UnixMicros last_name_time_ = 0;
  Checkpoint accepted_;
};

}  // namespace

std::unique_ptr<connector::TargetApply> make_transactions_apply(std::shared_ptr<SharedTarget> target,
                                                                const ApplyRequest& request) {
  return std::make_unique<TransactionsApply>(std::move(target), request);
}

}  // namespace ferry::s3
