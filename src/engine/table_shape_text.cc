#include "engine/table_shape_text.h"

#include <boost/json.hpp>

#include <exception>

#include "base/error.h"
#include "model/json_document.h"

namespace ferry::engine {
namespace {

namespace json = boost::json;
using base::Error;
using base::ErrorKind;
using model::Column;

template <typename T>
T number(const json::object& object, std::string_view name) {
  return object.at(name).to_number<T>();
}

std::string text(const json::object& object, std::string_view name) {
  return std::string(object.at(name).as_string());
}

json::object object_of(const Column& column) {
  return {{"name", column.name},
          {"type", static_cast<int>(column.type.id)},
          {"length", column.type.length},
          {"precision", column.type.precision},
          {"scale", column.type.scale},
          {"without_offset", column.type.without_offset},
          {"nullable", column.nullable},
          {"number", column.source_number},
          {"source_type", column.source_type},
          {"generated", column.generated}};
}

Column column_of(const json::object& object) {
  const json::value* generated = object.if_contains("generated");  // Not in texts of older versions.
  return {.name = text(object, "name"),
          .type = {.id = static_cast<model::TypeId>(number<std::uint8_t>(object, "type")),
                   .length = number<std::int32_t>(object, "length"),
                   .precision = number<std::int16_t>(object, "precision"),
                   .scale = number<std::int16_t>(object, "scale"),
                   .without_offset = object.at("without_offset").as_bool()},
          .nullable = object.at("nullable").as_bool(),
          .source_number = number<std::int32_t>(object, "number"),
          .source_type = text(object, "source_type"),
          .generated = generated != nullptr && generated->as_bool()};
}

}  // namespace

std::string shape_text(const model::TableVersion& table) {
  json::array columns;
  for (const Column& column : table.columns) columns.push_back(object_of(column));
  return json::serialize(json::object{{"schema", table.name.schema},
                                      {"table", table.name.table},
                                      {"columns", std::move(columns)},
                                      {"key", json::array(table.key.begin(), table.key.end())},
                                      {"full_row", table.identity == model::RowIdentity::kFullRow}});
}

model::TableVersion parse_shape(std::string_view text_form) {
  try {
    json::value parsed =
        model::parse_json(text_form, "the stored shape of a table", ErrorKind::kStateUnusable);
    const json::object& object = parsed.as_object();
    model::TableVersion table;
    table.name = {text(object, "schema"), text(object, "table")};
    for (const json::value& column : object.at("columns").as_array())
      table.columns.push_back(column_of(column.as_object()));
    for (const json::value& column : object.at("key").as_array()) {
      table.key.push_back(column.to_number<std::uint32_t>());
      if (table.key.back() >= table.columns.size()) throw std::out_of_range("a key column is not there");
    }
    table.identity = table.key.empty() ? model::RowIdentity::kNone : model::RowIdentity::kKey;
    const json::value* full_row = object.if_contains("full_row");  // Not in texts of older versions.
    if (full_row != nullptr && full_row->as_bool()) table.identity = model::RowIdentity::kFullRow;
    return table;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(
        ErrorKind::kStateUnusable,
        Error::Parts{.message = std::string("the stored shape of a table cannot be read: ") + error.what(),
                     .remedy = "Load the tables anew with --restart."});
  }
}

bool says_identity(std::string_view text_form) {
  return model::parse_json(text_form, "the stored shape of a table", ErrorKind::kStateUnusable)
      .as_object()
      .contains("full_row");
}

}  // namespace ferry::engine
