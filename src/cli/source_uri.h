#pragma once

#include <string_view>

#include "model/endpoint.h"

namespace ferry::cli {

// Reads "postgresql://user:password@host:port/database?sslmode=…&sslrootcert=FILE" (the URI form of the
// PostgreSQL manual, section 34.1.1.2, with one host). Parts are percent-decoded. "host" may be in brackets,
// or absent for the local socket. Throws Error(kUsage), never with the password in it.
model::Endpoint parse_source_uri(std::string_view uri);

// Hides the password of a URI in place, so that a list of processes does not show it. Other text is left
// alone.
void wipe_password(char* uri);

}  // namespace ferry::cli
