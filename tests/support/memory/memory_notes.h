#pragma once

#include <map>
#include <mutex>

#include "connector/task_notes.h"

namespace ferry::test_support {

// A task's notes in memory.
class MemoryNotes : public connector::TaskNotes {
 public:
  std::optional<std::string> get(std::string_view name) const override {
    std::lock_guard lock(mutex_);
    auto found = notes_.find(name);
    return found == notes_.end() ? std::nullopt : std::optional(found->second);
  }
  void set(std::string_view name, std::string_view value) override {
    std::lock_guard lock(mutex_);
    notes_.insert_or_assign(std::string(name), std::string(value));
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> notes_;
};

}  // namespace ferry::test_support
