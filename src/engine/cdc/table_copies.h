#pragma once

#include <stop_token>

#include "connector/source.h"
#include "engine/cdc/change_stream.h"
#include "engine/task_context.h"

namespace ferry::engine {

// Brings the rows of every queued table that can be copied now to the target, by a load or as one transaction
// of inserts behind everything that the checkpoint holds, and finishes what a killed run began of it. Called
// while no stream runs; `capture` has been prepared or verified, so that it captures what happens from here
// on. A table that is gone leaves the task. Throws as run_full_load().
void copy_tables(const TaskContext& context, connector::SourceCapture& capture, StreamTotals& totals,
                 std::stop_token stop);

}  // namespace ferry::engine
