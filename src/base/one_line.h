#pragma once

#include <string>
#include <string_view>

namespace ferry::base {

// `text` fit for one line of a log or a terminal: LF, CR and tab as \n, \r and \t, other control characters
// as \x1b. A table's name may hold any of them, and must not look like a line of Ferry's own. Any thread.
std::string one_line(std::string_view text);

}  // namespace ferry::base
