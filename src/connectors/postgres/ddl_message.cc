#include "connectors/postgres/ddl_message.h"

#include <algorithm>
#include <boost/json.hpp>
#include <limits>

#include "base/error.h"
#include "model/json_document.h"

namespace ferry::postgres {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

// 1600 columns (MaxHeapAttributeNumber) whose names are 63 characters that JSON writes in six bytes each.
constexpr std::size_t kContentBytesMax = 1 << 20;
constexpr std::size_t kColumnsMax = 1600;
constexpr std::size_t kNameBytesMax = 63;
constexpr std::int64_t kVersion = 1;

// Thrown and caught in this file: the text is not of the trigger's form.
struct OtherForm {};

void require(bool holds) {
  if (!holds) throw OtherForm{};
}

const value& member(const object& from, std::string_view name) {
  const value* found = from.if_contains(name);
  require(found != nullptr);
  return *found;
}

std::int64_t integer(const value& from, std::int64_t min, std::int64_t max) {
  const std::int64_t* number = from.if_int64();
  require(number != nullptr && *number >= min && *number <= max);
  return *number;
}

std::uint32_t oid(const value& from) {
  return static_cast<std::uint32_t>(integer(from, 1, std::numeric_limits<std::uint32_t>::max()));
}

bool boolean(const value& from) {
  const bool* flag = from.if_bool();
  require(flag != nullptr);
  return *flag;
}

std::string name(const value& from) {
  const boost::json::string* text = from.if_string();
  require(text != nullptr && !text->empty() && text->size() <= kNameBytesMax);
  require(text->find('\0') == boost::json::string::npos);
  return std::string(text->data(), text->size());
}

const array& list(const value& from) {
  const array* items = from.if_array();
  require(items != nullptr && items->size() <= kColumnsMax);
  return *items;
}

model::TableName table_name(const object& from) {
  return {.schema = name(member(from, "schema")), .table = name(member(from, "name"))};
}

// [number, name, type, typmod, not null, generated]
DdlColumn column(const value& from) {
  const array& parts = list(from);
  require(parts.size() == 6);
  return {.number = static_cast<std::int32_t>(integer(parts[0], 1, kColumnsMax)),
          .name = name(parts[1]),
          .type_oid = oid(parts[2]),
          .typmod = static_cast<std::int32_t>(integer(parts[3], std::numeric_limits<std::int32_t>::min(),
                                                      std::numeric_limits<std::int32_t>::max())),
          .not_null = boolean(parts[4]),
          .generated = boolean(parts[5])};
}

DdlTable table(const object& from) {
  DdlTable table{.oid = oid(member(from, "oid")), .name = table_name(from)};
  std::string identity = name(member(from, "identity"));
  require(identity.size() == 1 && std::string_view("dfin").find(identity.front()) != std::string_view::npos);
  table.replica_identity = identity.front();
  for (const value& item : list(member(from, "columns"))) {
    DdlColumn next = column(item);
    require(table.columns.empty() || table.columns.back().number < next.number);
    require(std::ranges::find(table.columns, next.name, &DdlColumn::name) == table.columns.end());
    table.columns.push_back(std::move(next));
  }
  for (const value& item : list(member(from, "key"))) {
    auto number = static_cast<std::int32_t>(integer(item, 1, kColumnsMax));
    require(std::ranges::find(table.key, number) == table.key.end());
    require(std::ranges::find(table.columns, number, &DdlColumn::number) != table.columns.end());
    table.key.push_back(number);
  }
  return table;
}

DdlMessage message(const value& document, std::string_view key) {
  const object* from = document.if_object();
  require(from != nullptr);
  const boost::json::string* given = member(*from, "secret").if_string();
  require(given != nullptr && std::string_view(given->data(), given->size()) == key);
  integer(member(*from, "version"), kVersion, kVersion);
  std::string event = name(member(*from, "event"));
  if (event == "table") return table(*from);
  require(event == "drop");
  return DdlDrop{.oid = oid(member(*from, "oid")), .name = table_name(*from)};
}

}  // namespace

std::optional<DdlMessage> parse_ddl_message(std::string_view content, std::string_view key) {
  // Without the key in it there is no reason to look further: most foreign messages end here.
  if (key.empty() || content.size() > kContentBytesMax || content.find(key) == std::string_view::npos) {
    return std::nullopt;
  }
  try {
    return message(model::parse_json(content, "a DDL message"), key);
  } catch (const OtherForm&) {
    return std::nullopt;
  } catch (const base::Error&) {
    return std::nullopt;
  }
}

}  // namespace ferry::postgres
