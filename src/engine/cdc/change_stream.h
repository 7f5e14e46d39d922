#pragma once

#include <optional>
#include <stop_token>

#include "connector/source.h"
#include "engine/task_context.h"

namespace ferry::engine {

// What the streams of one attempt have done so far.
struct StreamTotals {
  std::int64_t transactions = 0;
  std::int64_t rows = 0;
};

enum class StreamEnd : std::uint8_t {
  kStopped,     // As asked.
  kReachedEnd,  // `until` was given and reached.
  kPaused,      // A table waits for its copy; then another stream goes on.
};

// Captures changes from the state's checkpoint on and applies them until stop is requested; then what was
// captured is applied, made durable and acknowledged. `capture` has been prepared or verified. Throws what
// ends the stream; the state then holds a checkpoint from which another stream goes on. With `until` it stops
// by itself once every transaction up to there is durable.
StreamEnd run_change_stream(const TaskContext& context, connector::SourceCapture& capture,
                            const std::optional<model::StreamPosition>& until, StreamTotals& totals,
                            std::stop_token stop);

}  // namespace ferry::engine
