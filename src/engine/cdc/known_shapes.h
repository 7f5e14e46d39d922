#pragma once

#include <vector>

#include "engine/task_state.h"
#include "model/table_version.h"

namespace ferry::engine {

// A state may have several entries of one number, a table under the names that it had, and several of one
// name, the tables that had it. Only one of each can be what the log speaks of at the checkpoint: that one
// has a last shape, and it takes it from its rivals when the checkpoint has come to where it got the name.

// Whether the two entries are of one number or of one name.
bool are_rivals(const TableState& a, const TableState& b);

// Takes the last shape from every stored rival of the table.
void take_from_rivals(TaskState& state, const TableState& table);

// Which tables have which name and shape at the checkpoint. What is not certain is left out: states of older
// versions may have last shapes of rivals.
std::vector<model::TableVersionPtr> known_shapes(const TaskState& state);

}  // namespace ferry::engine
