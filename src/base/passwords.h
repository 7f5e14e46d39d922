#pragma once

#include <string>
#include <string_view>

namespace ferry::base {

// `text` with "***" for the password of the first URI in it that has one ("scheme://user:password@host"), and
// for all that may belong to it: a password with characters that should have been percent-encoded ends where
// nobody can tell, so everything up to the last '@' goes. "http://host:9000/…" has a port and stays. The same
// for each "password=…" as libpq's URIs may have it. Whatever is shown, and may quote what a user typed,
// comes through here. Any thread.
std::string hide_password(std::string_view text);

}  // namespace ferry::base
