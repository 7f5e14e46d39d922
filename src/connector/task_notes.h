#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ferry::connector {

// A connector's own small notes in its task's state: what it made, under which process number it connected.
// They live as long as the task's state. Thread-safe; set() is durable when it returns.
class TaskNotes {
 public:
  virtual ~TaskNotes() = default;

  virtual std::optional<std::string> get(std::string_view name) const = 0;
  virtual void set(std::string_view name, std::string_view value) = 0;
};

}  // namespace ferry::connector
