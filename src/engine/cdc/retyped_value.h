#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/logical_type.h"

namespace ferry::engine {

// A value of the type `from` as one of the type `to`, both in the canonical cell form of docs/types.md.
// Nothing where `to` has no place for the exact value, or where no rule says what it is there: texts of any
// length, bytes, whole and decimal numbers, and points in time have rules among themselves, and every number
// has a text. What is returned is `cell` itself or lies in `storage`.
std::optional<std::string_view> retyped_value(const model::LogicalType& from, std::string_view cell,
                                              const model::LogicalType& to, std::string& storage);

}  // namespace ferry::engine
