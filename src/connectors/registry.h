#pragma once

#include "connector/connector.h"

namespace ferry::connectors {

// Every connector under each DMS EngineName it answers to. A new connector is one line in registry.cc.
connector::Registry make_registry();

}  // namespace ferry::connectors
