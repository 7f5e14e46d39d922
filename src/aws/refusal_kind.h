#pragma once

#include <string_view>

#include "base/error.h"

namespace ferry::aws {

// What an answer that is no success means to a task, by its HTTP status and the error code in its body (""
// where there is none). kTargetUnreachable is what may pass: the same request may be sent again.
base::ErrorKind kind_of_refusal(int status, std::string_view code);

}  // namespace ferry::aws
