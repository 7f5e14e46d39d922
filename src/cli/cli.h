#pragma once

#include "connector/connector.h"

namespace ferry::cli {

// Runs the command line and returns the process's exit code (docs/errors.md). Passwords in `argv` are
// overwritten.
int run(int argc, char** argv, const connector::Registry& registry);

}  // namespace ferry::cli
