#pragma once

#include <stop_token>
#include <vector>

#include "connector/prerequisite.h"
#include "connectors/postgres/settings.h"

namespace ferry::postgres {

// Source::check(): what a load, and with capture the start of ongoing changes, need of the server.
std::vector<connector::Prerequisite> check_prerequisites(const Settings& settings, bool with_capture,
                                                         std::stop_token stop);

}  // namespace ferry::postgres
