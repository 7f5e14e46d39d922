#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/task_definition.h"

namespace ferry::cli {

// The folder of a task's state where the user names none: under XDG_STATE_HOME (else ~/.local/state), found
// again by what makes the task the same one: `kind` ("copy" or "run") and `parts`.
std::filesystem::path default_state_folder(const std::string& kind, const std::vector<std::string>& parts);

// State must never lie where consumers read objects. Throws Error(kUsage) when it would.
void refuse_state_in_target(const std::filesystem::path& state, const model::Endpoint& target);

}  // namespace ferry::cli
