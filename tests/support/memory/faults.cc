#include "tests/support/memory/faults.h"

#include <algorithm>
#include <utility>

namespace ferry::test_support {

void Faults::arm(Plan plan) {
  std::lock_guard lock(mutex_);
  int passage = plan.passage;
  armed_.push_back({std::move(plan), passage});
}

void Faults::disarm() {
  {
    std::lock_guard lock(mutex_);
    armed_.clear();
    ++disarmed_;
  }
  changed_.notify_all();
}

int Faults::passages(std::string_view call) const {
  std::lock_guard lock(mutex_);
  auto found = passages_.find(call);
  return found == passages_.end() ? 0 : found->second;
}

bool Faults::wait_for_passage(std::string_view call, int n, std::chrono::milliseconds deadline) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, deadline, [&] {
    auto found = passages_.find(call);
    return found != passages_.end() && found->second >= n;
  });
}

std::optional<base::Error> Faults::pass(std::string_view call, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  ++passages_[std::string(call)];
  changed_.notify_all();
  if (stop.stop_requested())
    throw base::Error(base::ErrorKind::kStopped, std::string(call) + " was asked to stop");

  // Every plan of the call counts the passage; of two that are due the second waits for the next one.
  for (Armed& armed : armed_) armed.passages_left -= armed.plan.call == call ? 1 : 0;
  auto due = std::find_if(armed_.begin(), armed_.end(), [&](const Armed& armed) {
    return armed.plan.call == call && armed.passages_left <= 0;
  });
  if (due == armed_.end()) return std::nullopt;
  Plan plan = std::move(due->plan);
  armed_.erase(due);

  if (plan.fault == Fault::kDoesThenFails) return plan.error;
  if (plan.fault == Fault::kNeverAnswers) {
    changed_.wait(lock, stop, [&, before = disarmed_] { return disarmed_ != before; });
    if (stop.stop_requested()) {
      throw base::Error(base::ErrorKind::kStopped, std::string(call) + " was asked to stop");
    }
  }
  throw base::Error(plan.error);
}

}  // namespace ferry::test_support
