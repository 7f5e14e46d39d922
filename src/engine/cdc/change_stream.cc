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
#include "engine/cdc/applier.h"
#include "engine/cdc/change_router.h"
#include "engine/cdc/known_shapes.h"
#include "engine/cdc/sorter.h"

namespace ferry::engine {
namespace {

using base::Channel;
using base::Error;
using base::ErrorKind;
using model::ChangeBatch;
using ChangeChannel = Channel<std::shared_ptr<const ChangeBatch>>;

// A batch is handed on when it holds this much, or when the source has nothing more at hand.
constexpr std::size_t kBatchBytes = 256 << 10;
constexpr std::chrono::milliseconds kCaptureWait{500};
// Between two flushes for the sake of a table that waits for its copy.
constexpr std::chrono::milliseconds kFlushInterval{500};

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

// Sorter to target: routes each transaction and tells how far it came.
class StreamWriter {
 public:
  StreamWriter(const TaskContext& context, connector::SourceCapture& capture, StreamTotals& totals)
      : context_(context), totals_(totals), router_(context), applier_(context, &capture) {
    applier_.before_checkpoint = [this](const model::Checkpoint& durable) {
      return router_.progress(durable, applier_.accepted());
    };
  }

  // Returns when the sorter has no more, or at the end of a transaction where the stream is to pause.
  void take(Sorter& sorter) {
    while (std::optional<Sorter::Item> item = sorter.next()) {
      if (auto* quiet = std::get_if<Sorter::Quiet>(&*item)) {
        applier_.advance(quiet->stamp);
        continue;
      }
      model::Transaction& transaction = *std::get<std::unique_ptr<model::Transaction>>(*item);
      std::int64_t rows = router_.rows();
      applier_.apply(*router_.route(transaction), context_.row_errors.of_changes());
      ++totals_.transactions;
      totals_.rows += router_.rows() - rows;
      progress();
      if (wants_pause()) return;
    }
    progress();
  }

  bool wants_pause() const { return router_.wants_pause(context_.clock.steady_now(), applier_.stored()); }

  // Every transaction up to `position` has been accepted.
  bool has_accepted(const model::StreamPosition& position) const {
    return applier_.accepted().resume_position >= position;
  }

  void flush() { applier_.flush(); }

  const model::StreamPosition& start() const { return applier_.stored().resume_position; }
  std::chrono::milliseconds tick_interval() const { return applier_.tick_interval(); }

 private:
  void progress() {
    if (applier_.progress()) {
      context_.observer.changes_applied(totals_.transactions, totals_.rows,
                                        applier_.stored().resume_position.text());
    }
    auto now = context_.clock.steady_now();
    if (now < flush_due_ || !router_.wants_flush(applier_.accepted(), applier_.stored())) return;
    flush_due_ = now + kFlushInterval;
    flush();
  }

  const TaskContext& context_;
  StreamTotals& totals_;
  ChangeRouter router_;
  Applier applier_;
  std::chrono::steady_clock::time_point flush_due_;
};

}  // namespace

StreamEnd run_change_stream(const TaskContext& context, connector::SourceCapture& capture,
                            const std::optional<model::StreamPosition>& until, StreamTotals& totals,
                            std::stop_token stop) {
  std::filesystem::path spill_folder = context.state.folder() / "spill";
  std::filesystem::create_directories(spill_folder);
  Sorter sorter({.memory_bytes_max = context.budget.sorter, .spill_folder = spill_folder});
  StreamWriter writer(context, capture, totals);

  base::failpoint("before_stream_start");
  capture.know(known_shapes(context.state));
  capture.start(writer.start(), stop);
  context.observer.changes_started(writer.start().text());
  base::log_info(base::kSourceCapture, "changes are read from {} on", writer.start().text());

  StreamEnd end = StreamEnd::kStopped;
  ChangeChannel channel(static_cast<std::size_t>(context.budget.change_queue));
  {
    std::jthread capture_thread([&](std::stop_token own_stop) { run_capture(capture, channel, own_stop); });
    std::stop_callback forward(stop, [&] { capture_thread.request_stop(); });
    // The writer stops by itself only after the capture has: what was captured is applied.
    while (!channel.drained()) {
      if (std::optional<std::shared_ptr<const ChangeBatch>> batch = channel.pop(writer.tick_interval(), {})) {
        sorter.add(std::move(*batch));
      }
      writer.take(sorter);
      if (until && writer.has_accepted(*until)) end = StreamEnd::kReachedEnd;
      if (end == StreamEnd::kStopped && writer.wants_pause()) end = StreamEnd::kPaused;
      if (end != StreamEnd::kStopped) {
        // What was captured beyond is not acknowledged, so it comes again.
        channel.close();
        break;
      }
    }
    // An error handed over by the capture comes out of pop() after the last batch.
    if (end == StreamEnd::kStopped) channel.pop(std::chrono::milliseconds(0), {});
  }
  writer.flush();
  // The capture's thread has ended, so its calls are this thread's now: this one sends the last
  // acknowledgement.
  capture.keep_alive();
  // A stop is what was asked for, whatever waits for a copy.
  return stop.stop_requested() && end == StreamEnd::kPaused ? StreamEnd::kStopped : end;
}

}  // namespace ferry::engine
