#pragma once

#include <stop_token>
#include <vector>

#include "engine/task_context.h"

namespace ferry::engine {

// Lists the source's tables that the mapping selects, in the order they are to be loaded in. Throws
// Error(kNoTables) when there is none and FailOnNoTablesCaptured says so; warns of rules that match nothing.
std::vector<model::TableName> select_tables(const TaskContext& context, std::stop_token stop);

// What the task's settings say about what is in a table's place before its load.
connector::PrepMode prep_mode(const TaskContext& context);

// The name of a source table on the target.
model::TableName target_name(const TaskContext& context, const model::TableName& source);

// The table as the target is to have it.
model::TableVersionPtr target_version(const TaskContext& context, const model::TableVersionPtr& source);

// A table cannot be carried on: stores and reports it, and throws Error(kTableErrors) when TableErrorPolicy
// or its escalation says that the task stops.
void suspend_table(const TaskContext& context, TableState table, std::string_view error);

}  // namespace ferry::engine
