#pragma once

#include <cstdint>

namespace ferry::model {

// What a name in the source's catalog stands for. DMS's table-type.
enum class TableKind : std::uint8_t { kTable, kView };

}  // namespace ferry::model
