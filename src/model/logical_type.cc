#include "model/logical_type.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace ferry::model {
namespace {

struct TypeFacts {
  std::string_view name;
  std::size_t cell_size;
};

constexpr std::array<TypeFacts, 21> kFacts = {{
    {"BOOLEAN", 1}, {"INT1", 1},  {"INT2", 2},  {"INT4", 4},  {"INT8", 8},     {"UINT1", 1},  {"UINT2", 2},
    {"UINT4", 4},   {"UINT8", 8}, {"REAL4", 4}, {"REAL8", 8}, {"NUMERIC", 16}, {"STRING", 0}, {"WSTRING", 0},
    {"CLOB", 0},    {"NCLOB", 0}, {"BYTES", 0}, {"BLOB", 0},  {"DATE", 4},     {"TIME", 8},   {"DATETIME", 8},
}};
static_assert(kFacts[static_cast<std::size_t>(TypeId::kDatetime)].name == "DATETIME");

const TypeFacts& facts_of(TypeId id) { return kFacts[static_cast<std::size_t>(id)]; }

}  // namespace

std::size_t fixed_cell_size(const LogicalType& type) {
  return type.is_variable() ? 0 : facts_of(type.id).cell_size;
}

std::string to_string(const LogicalType& type) {
  std::string name(facts_of(type.id).name);
  if (type.id == TypeId::kNumeric && type.precision > 0) {
    return fmt::format("{}({},{})", name, type.precision, type.scale);
  }
  if (type.id == TypeId::kTime || type.id == TypeId::kDatetime)
    return fmt::format("{}({})", name, type.scale);
  if (type.length > 0) return fmt::format("{}({})", name, type.length);
  return name;
}

}  // namespace ferry::model
