#include "engine/cdc/frozen_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/cdc/retyped_value.h"
#include "engine/table_shape_text.h"
#include "engine/tables_manager.h"

namespace ferry::engine {
namespace {

using model::Cell;
using model::CellState;
using model::Column;
using model::TableVersion;
using model::TableVersionPtr;

std::optional<std::uint32_t> find_column(const TableVersion& source, const Column& frozen) {
  auto found = frozen.source_number != 0
                   ? std::ranges::find(source.columns, frozen.source_number, &Column::source_number)
                   : std::ranges::find(source.columns, frozen.name, &Column::name);
  if (found == source.columns.end()) return std::nullopt;
  return static_cast<std::uint32_t>(found - source.columns.begin());
}

bool same_form(const model::LogicalType& a, const model::LogicalType& b) {
  return a.id == b.id && a.precision == b.precision && a.scale == b.scale;
}

std::string key_text(const TableVersion& table, std::span<const Cell> cells) {
  std::string text;
  for (std::uint32_t column : table.key) {
    const model::LogicalType& type = table.columns[column].type;
    std::string storage;
    std::optional<std::string_view> value;
    if (cells[column].state == CellState::kValue) {
      value = retyped_value(type, cells[column].bytes, {.id = model::TypeId::kWstring}, storage);
    }
    if (!text.empty()) text += ", ";
    text += fmt::format("{}={}", table.columns[column].name, value ? *value : "(" + to_string(type) + ")");
  }
  return text.empty() ? "a row without a key" : text;
}

}  // namespace

bool keeps_shapes(const model::TaskSettings& settings) {
  return settings.named("ChangeProcessingDdlHandlingPolicy.HandleSourceTableAltered") &&
         !settings.ddl_handling.handle_source_table_altered;
}

const FrozenShapes::Table& FrozenShapes::table_of(const TableVersionPtr& source) {
  auto [found, is_new] = tables_.try_emplace(source);
  Table& table = found->second;
  if (!is_new) return table;
  std::vector<TableState> states = context_.state.tables();
  auto state = std::ranges::find_if(states, [&](const TableState& known) {
    return known.source == source->name && known.source_number == source->source_table;
  });
  TableVersion frozen = state == states.end() || state->shape.empty() ? *source : parse_shape(state->shape);
  auto target = std::make_shared<TableVersion>(*source);
  target->columns = std::move(frozen.columns);
  target->key.clear();
  for (std::uint32_t i = 0; i < target->columns.size(); ++i) {
    Column& column = target->columns[i];
    Place place{.column = find_column(*source, column)};
    if (place.column) {
      const Column& now = source->columns[*place.column];
      place.retypes = now.type != column.type;
      column.distinct_share = now.distinct_share;
      column.type.without_offset |= now.type.without_offset;
    }
    table.places.push_back(place);
  }
  for (std::uint32_t column : source->key) {
    auto place = std::ranges::find_if(table.places, [&](const Place& each) { return each.column == column; });
    if (place == table.places.end()) {
      table.names_no_row = true;
      continue;
    }
    target->key.push_back(static_cast<std::uint32_t>(place - table.places.begin()));
  }
  if (target->key.empty() && target->identity == model::RowIdentity::kKey) {
    target->identity = model::RowIdentity::kNone;
  }
  table.target = std::move(target);
  return table;
}

std::optional<std::uint32_t> FrozenShapes::fill(const Table& table, const TableVersion& source,
                                                std::span<const Cell> cells, Image& image) const {
  image.cells.clear();
  if (cells.empty()) return std::nullopt;
  image.storage.resize(table.places.size());
  for (std::uint32_t i = 0; i < table.places.size(); ++i) {
    const Place& place = table.places[i];
    image.cells.push_back(place.column ? cells[*place.column] : Cell{});
    Cell& cell = image.cells.back();
    if (!place.retypes || cell.state == CellState::kNull || cell.state == CellState::kNotSent) continue;
    const model::LogicalType& from = source.columns[*place.column].type;
    const model::LogicalType& to = table.target->columns[i].type;
    if (cell.state == CellState::kOutOfDomain) {
      if (!same_form(from, to)) return i;
      continue;
    }
    std::optional<std::string_view> value = retyped_value(from, cell.bytes, to, image.storage[i]);
    if (!value) return i;
    cell.bytes = *value;
  }
  return std::nullopt;
}

bool FrozenShapes::apply(model::Change& change, model::RowErrorSink& errors) {
  if (!keeps_ || change.table == nullptr) return true;
  const TableVersion& source = **change.table;
  const Table& table = table_of(*change.table);
  if (table.names_no_row && change.kind == model::ChangeKind::kDelete) {
    errors.row_error(
        {.table = target_name(context_, source.name),
         .key = key_text(source, change.before),
         .column = "",
         .reason = "A column of the key was added later, and HandleSourceTableAltered=false leaves it out: "
                   "the delete would name no row."});
    return false;
  }
  std::optional<std::uint32_t> refused = fill(table, source, change.before, before_);
  if (!refused) refused = fill(table, source, change.after, after_);
  if (refused) {
    const Column& column = table.target->columns[*refused];
    errors.row_error(
        {.table = target_name(context_, source.name),
         .key = key_text(source, change.after.empty() ? change.before : change.after),
         .column = column.name,
         .reason = fmt::format("A value of the column's new type {} has no exact form in {}, which "
                               "HandleSourceTableAltered=false keeps.",
                               to_string(source.columns[*table.places[*refused].column].type),
                               to_string(column.type))});
    return false;
  }
  change.table = &table.target;
  change.before = before_.cells;
  change.after = after_.cells;
  return true;
}

}  // namespace ferry::engine
