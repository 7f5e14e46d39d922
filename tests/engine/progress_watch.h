#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "connector/connector.h"
#include "engine/task_state.h"

namespace ferry::test_support {

// Sees whether a task's progress keeps its one direction: the target answers that something is durable, then
// the checkpoint is stored, then the source is acknowledged. It stands around a connector and compares at
// each call of capture or apply. Thread-safe; outlives the connectors it is given to.
class ProgressWatch {
 public:
  // The connector as before, watched. The state of the run is told by watch_state().
  std::unique_ptr<connector::Connector> around(std::unique_ptr<connector::Connector> inner);
  // The state must live until the next call or until no connector is in use any more.
  void watch_state(const engine::TaskState& state) { state_ = &state; }

  // What was out of order, a line each.
  std::vector<std::string> violations() const;
  int acknowledgements() const { return acknowledgements_; }

  // The connectors' side.
  void stored_only_after(const model::Checkpoint& durable, const char* call);
  void acknowledged(const model::StreamPosition& position);

 private:
  void add(std::string violation);

  std::atomic<const engine::TaskState*> state_ = nullptr;
  std::atomic<int> acknowledgements_ = 0;
  mutable std::mutex mutex_;  // Guards violations_.
  std::vector<std::string> violations_;
};

}  // namespace ferry::test_support
