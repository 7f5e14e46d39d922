#pragma once

#include <stop_token>

#include "engine/task_context.h"

namespace ferry::engine {

// Loads every table of the state that is not loaded yet, several at once, and returns when all are loaded or in
// error. What a killed run left of an unfinished table is discarded first. Throws the first error that concerns more
// than one table, after the other loads have stopped.
void run_full_load(const TaskContext& context, std::stop_token stop);

}  // namespace ferry::engine
