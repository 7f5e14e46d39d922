#include "engine/cdc/change_stream.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>
#include <variant>

#include "base/channel.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "engine/cdc/row_completer.h"
#include "engine/cdc/sorter.h"

namespace ferry::engine {
namespace {

using base::Channel;
using base::Error;
using base::ErrorKind;
using model::ChangeBatch;
using model::Checkpoint;
using ChangeChannel = Channel<std::shared_ptr<const ChangeBatch>>;

// A batch is handed on when it holds this much, or when the source has nothing more at hand.
constexpr std::size_t kBatchBytes = 256 << 10;
constexpr std::chrono::milliseconds kCaptureWait{500};
// A stored checkpoint costs a write to the disk, and where no object is open every transaction moves it.
constexpr std::chrono::milliseconds kCheckpointInterval{100};

// SOURCE_CAPTURE: fills the channel until stop or error, and keeps the source's connection alive while there
// is no room.
void run_capture(connector::SourceCapture& capture, ChangeChannel& channel, std::stop_token stop) {
  try {
    while (!stop.stop_requested()) {
      auto batch = std::make_shared<ChangeBatch>();
      capture.next(*batch, kBatchBytes, kCaptureWait, stop);
      if (batch->empty()) continue;
      std::size_t bytes = batch->bytes();
      std::shared_ptr<const ChangeBatch> full = std::move(batch);
      while (channel.push(full, bytes, connector::kKeepAliveInterval, stop) ==
             ChangeChannel::Pushed::kTimedOut) {
        capture.keep_alive();
      }
    }
    channel.close();
  } catch (const Error& error) {
    channel.close(error.kind() == ErrorKind::kStopped ? nullptr : std::current_exception());
  } catch (...) {
    channel.close(std::current_exception());
  }
}

// TARGET_APPLY: the only place where a checkpoint moves and where the source is acknowledged.
class Applier {
 public:
  Applier(const TaskContext& context, connector::SourceCapture& capture, Checkpoint from)
      : context_(context),
        capture_(capture),
        router_(context),
        whole_rows_(context.target.capabilities().whole_rows),
        // A lookup is short, and what was captured is still applied when stop is requested.
        completer_(context.source.lookup(), context.state.looked_up_values(), std::stop_token()),
        stored_(std::move(from)),
        apply_(context.target.apply(apply_request())) {
    context_.row_errors.store_each_report(context_.target.capabilities().atomic_checkpoint);
    if (std::optional<Checkpoint> own = apply_->recover(stored_)) take_over(std::move(*own));
    accepted_ = stored_;
  }

  void take(Sorter& sorter) {
    while (std::optional<Sorter::Item> item = sorter.next()) {
      if (auto* quiet = std::get_if<Sorter::Quiet>(&*item)) {
        accepted_ = checkpoint_at(quiet->stamp);
        apply_->advance(accepted_);
        continue;
      }
      model::Transaction& transaction = *std::get<std::unique_ptr<model::Transaction>>(*item);
      std::unique_ptr<model::Transaction> routed = router_.route(transaction);
      // A table change outside any transaction moves nothing on.
      if (transaction.stamp().id != 0) accepted_ = checkpoint_at(transaction.stamp());
      apply_->apply(whole_rows_ ? *completer_.complete(*routed) : *routed, accepted_,
                    context_.row_errors.of_changes());
      ++transactions_;
      base::failpoint("after_transaction_applied");
      progress();
    }
    progress();
  }

  enum class Store { kWhenDue, kNow };

  void progress(Store when = Store::kWhenDue) {
    apply_->tick();
    auto now = context_.clock.steady_now();
    if (when == Store::kWhenDue && now < checkpoint_due_) return;
    Checkpoint durable = apply_->durable();
    if (durable.resume_position <= stored_.resume_position) return;
    checkpoint_due_ = now + kCheckpointInterval;
    router_.store_suspensions();
    base::failpoint("before_checkpoint_stored");
    context_.state.set_checkpoint(durable);
    base::failpoint("after_checkpoint_stored");
    stored_ = std::move(durable);
    base::failpoint("before_acknowledge");
    capture_.acknowledge(stored_.resume_position);
    base::failpoint("after_acknowledge");
    context_.observer.changes_applied(transactions_, router_.rows(), stored_.resume_position.text());
  }

  // Every transaction up to `position` has been accepted.
  bool has_accepted(const model::StreamPosition& position) const {
    return accepted_.resume_position >= position;
  }

  void flush() {
    apply_->flush();
    progress(Store::kNow);
  }

  std::chrono::milliseconds tick_interval() const { return apply_->tick_interval(); }

  // Where the stream is to start.
  const model::StreamPosition& start() const { return stored_.resume_position; }

  StreamTotals totals(const Sorter& sorter) const {
    return {.reached_end = false,
            .transactions = transactions_,
            .rows = router_.rows(),
            .spilled_bytes = sorter.spilled_bytes_total(),
            .tables = router_.statistics()};
  }

 private:
  connector::ApplyRequest apply_request() const {
    const model::TaskSettings& settings = context_.definition.settings;
    auto asked = [&](std::string_view name, bool value) {
      return value && settings.named(std::string("ChangeProcessingDdlHandlingPolicy.") + std::string(name));
    };
    return {.memory_bytes_max = context_.budget.apply,
            .remove_on_truncate =
                asked("HandleSourceTableTruncated", settings.ddl_handling.handle_source_table_truncated),
            .remove_on_drop =
                asked("HandleSourceTableDropped", settings.ddl_handling.handle_source_table_dropped)};
  }

  // The target has more than the state knows: a run ended between its answer and the checkpoint.
  void take_over(Checkpoint own) {
    if (own.identity != stored_.identity || own.resume_position < stored_.resume_position) {
      base::log_warning(base::kTargetApply,
                        "the target's own checkpoint at {} of '{}' is not used: the task is at {} of '{}'",
                        own.resume_position.text(), own.identity.text, stored_.resume_position.text(),
                        stored_.identity.text);
      return;
    }
    context_.state.set_checkpoint(own);
    stored_ = std::move(own);
  }

  Checkpoint checkpoint_at(const model::TransactionStamp& stamp) const {
    return {
        .identity = stored_.identity,
        .resume_position = stamp.resume_position,
        .applied_through = stamp.commit_position.empty() ? stored_.applied_through : stamp.commit_position};
  }

  const TaskContext& context_;
  connector::SourceCapture& capture_;
  ChangeRouter router_;
  const bool whole_rows_;
  RowCompleter completer_;
  Checkpoint stored_;
  Checkpoint accepted_;
  std::unique_ptr<connector::TargetApply> apply_;
  std::int64_t transactions_ = 0;
  std::chrono::steady_clock::time_point checkpoint_due_;
};

}  // namespace

StreamTotals run_change_stream(const TaskContext& context, connector::SourceCapture& capture,
                               const std::optional<model::StreamPosition>& until, std::stop_token stop) {
  std::filesystem::path spill_folder = context.state.folder() / "spill";
  std::filesystem::create_directories(spill_folder);
  Sorter sorter({.memory_bytes_max = context.budget.sorter, .spill_folder = spill_folder});
  Applier applier(context, capture, *context.state.checkpoint());

  base::failpoint("before_stream_start");
  capture.start(applier.start(), stop);
  context.observer.changes_started(applier.start().text());
  base::log_info(base::kSourceCapture, "changes are read from {} on", applier.start().text());

  bool reached_end = false;
  ChangeChannel channel(static_cast<std::size_t>(context.budget.change_queue));
  {
    std::jthread capture_thread([&](std::stop_token own_stop) { run_capture(capture, channel, own_stop); });
    std::stop_callback forward(stop, [&] { capture_thread.request_stop(); });
    // The applier stops by itself only after the capture has: what was captured is applied.
    while (!channel.drained()) {
      if (std::optional<std::shared_ptr<const ChangeBatch>> batch =
              channel.pop(applier.tick_interval(), {})) {
        sorter.add(std::move(*batch));
      }
      applier.take(sorter);
      if (until && applier.has_accepted(*until)) {
        // What was captured beyond it is not acknowledged, so it comes again.
        reached_end = true;
        channel.close();
        break;
      }
    }
    // An error handed over by the capture comes out of pop() after the last batch.
    if (!reached_end) channel.pop(std::chrono::milliseconds(0), {});
  }
  applier.flush();
  // The capture's thread has ended, so its calls are this thread's now: this one sends the last
  // acknowledgement.
  capture.keep_alive();
  StreamTotals totals = applier.totals(sorter);
  totals.reached_end = reached_end;
  return totals;
}

}  // namespace ferry::engine
