#include "engine/cdc/known_shapes.h"

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "engine/table_shape_text.h"

namespace ferry::engine {

bool are_rivals(const TableState& a, const TableState& b) {
  if (a.source == b.source) return a.source_number != b.source_number;
  return a.source_number == b.source_number && a.source_number != 0;
}

void take_from_rivals(TaskState& state, const TableState& table) {
  for (TableState& other : state.tables()) {
    if (other.last_shape.empty() || !are_rivals(other, table)) continue;
    other.last_shape.clear();
    state.set_table(other);
  }
}

std::vector<model::TableVersionPtr> known_shapes(const TaskState& state) {
  std::vector<TableState> tables = state.tables();
  std::erase_if(tables, [](const TableState& table) {
    return table.last_shape.empty() || table.source_number == 0 || table.phase == TablePhase::kLeft;
  });
  std::map<model::TableName, int> by_name;
  std::map<std::uint64_t, int> by_number;
  for (const TableState& table : tables) {
    ++by_name[table.source];
    ++by_number[table.source_number];
  }
  std::vector<model::TableVersionPtr> shapes;
  for (const TableState& table : tables) {
    if (by_name[table.source] > 1 || by_number[table.source_number] > 1) continue;
    auto shape = std::make_shared<model::TableVersion>(parse_shape(table.last_shape));
    // Texts of older versions do not tell no identity from the whole row.
    if (shape->key.empty() && !says_identity(table.last_shape)) continue;
    shape->name = table.source;
    shape->source_table = table.source_number;
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

}  // namespace ferry::engine
