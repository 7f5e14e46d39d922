#pragma once

#include <memory>

#include "connector/connector.h"

namespace ferry::postgres {

// DMS's engines "postgres" and "aurora-postgresql" as sources.
std::unique_ptr<connector::Connector> make_postgres_connector();

}  // namespace ferry::postgres
