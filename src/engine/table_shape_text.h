#pragma once

#include <string>
#include <string_view>

#include "model/table_version.h"

namespace ferry::engine {

// A table's name, columns and key as the JSON text of docs/formats/state.md, and back. Throws
// Error(kStateUnusable) for other text.
std::string shape_text(const model::TableVersion& table);
model::TableVersion parse_shape(std::string_view text);
// Whether the text tells what names a row of a table without key; texts of older versions do not.
bool says_identity(std::string_view text);

}  // namespace ferry::engine
