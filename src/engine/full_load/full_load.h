#pragma once

#include <memory>
#include <stop_token>

#include "engine/task_context.h"

namespace ferry::engine {

// Loads every table of the state that is not loaded yet, several at once, and returns when all are loaded or
// in error. What a killed run left of an unfinished table is discarded first. Throws the first error that
// concerns more than one table, after the other loads have stopped.
void run_full_load(const TaskContext& context, std::stop_token stop);

// Holds the table still for its copy, with a snapshot that contains every transaction whose changes were left
// out for it. Null when the table that the task knows is not there any more, under this name and number.
// Throws Error(kSourceTable) when it cannot be read.
std::unique_ptr<connector::TableUnload> hold_for_copy(const TaskContext& context, const TableState& table,
                                                      std::stop_token stop);

// … and so it leaves the task.
void forget_gone_table(const TaskContext& context, const TableState& table);

}  // namespace ferry::engine
