#pragma once

#include <map>
#include <optional>
#include <stop_token>

#include "connector/source.h"
#include "engine/task_context.h"
#include "engine/cdc/change_router.h"

namespace ferry::engine {

struct StreamTotals {
  bool reached_end = false;  // `until` was given and reached.
  std::int64_t transactions = 0;
  std::int64_t rows = 0;
  std::int64_t spilled_bytes = 0;
  std::map<model::TableName, TableStatistics> tables;
};

// Captures changes from the state's checkpoint on and applies them until stop is requested; then what was captured is
// applied, made durable and acknowledged. `capture` has been prepared or verified. Throws what ends the stream; the
// state then holds a checkpoint from which another stream goes on. With `until` it stops by itself once every
// transaction up to there is durable.
StreamTotals run_change_stream(const TaskContext& context, connector::SourceCapture& capture,
                               const std::optional<model::StreamPosition>& until, std::stop_token stop);

}  // namespace ferry::engine
