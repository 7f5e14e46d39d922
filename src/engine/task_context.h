#pragma once

#include <chrono>

#include "base/clock.h"
#include "connector/source.h"
#include "connector/target.h"
#include "engine/lob_rule.h"
#include "engine/memory_budget.h"
#include "engine/row_error_log.h"
#include "engine/task_observer.h"
#include "engine/task_state.h"
#include "mapping/table_mapping.h"
#include "model/task_definition.h"

namespace ferry::engine {

// What the phases of one attempt at a task work with. Everything outlives the phases; what each thread may do
// with a part is said there.
struct TaskContext {
  const model::TaskDefinition& definition;
  const mapping::TableMapping& mapping;
  connector::Source& source;
  connector::Target& target;
  TaskState& state;
  RowErrorLog& row_errors;
  TaskObserver& observer;
  base::Clock& clock;
  connector::ForeignObjects foreign_objects;
  std::int64_t load_threads = 1;
  LobRule::OnTruncation on_lob_truncation = LobRule::OnTruncation::kWarn;
  // How long a stream goes on after a table has appeared, so that tables made one after another share a
  // pause.
  std::chrono::milliseconds gather_interval{500};
  MemoryBudget budget;
};

}  // namespace ferry::engine
