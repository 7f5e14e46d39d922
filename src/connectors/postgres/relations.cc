#include "connectors/postgres/relations.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using model::RowIdentity;
using model::TableVersion;
using pgoutput::Relation;
using pgoutput::RelationColumn;

bool same(const CatalogColumn& catalog, const std::string& name, const RelationColumn& column) {
  return name == column.name && catalog.type_oid == column.type_oid && catalog.typmod == column.typmod;
}

// For each column of the catalog its place in the stream's rows, -1 for those the stream leaves out; nothing
// where catalog and message are of different times.
std::optional<std::vector<std::int32_t>> match(const DescribedTable& table, const Relation& relation) {
  const model::TableName& name = table.version->name;
  if (name.schema != relation.schema || name.table != relation.name) return std::nullopt;
  std::vector<std::int32_t> places;
  std::size_t next = 0;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (next < relation.columns.size() &&
        same(table.columns[i], table.version->columns[i].name, relation.columns[next])) {
      places.push_back(static_cast<std::int32_t>(next++));
    } else if (table.columns[i].generated) {
      places.push_back(-1);
    } else {
      return std::nullopt;
    }
  }
  if (next != relation.columns.size()) return std::nullopt;
  return places;
}

// The identity's columns as the message flags them, in column order.
std::vector<std::uint32_t> flagged(const StreamTable& table) {
  std::vector<std::uint32_t> key;
  for (std::uint32_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].in_identity) key.push_back(i);
  }
  return key;
}

bool same_columns(std::vector<std::uint32_t> a, std::vector<std::uint32_t> b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  return a == b;
}

// Sets the identity by the message. `version.key` comes with the key that the catalog or an earlier message
// knew: it gives the order of the key's columns, and with REPLICA IDENTITY FULL, which flags every column,
// the key itself.
void set_identity(const Relation& relation, const StreamTable& table, TableVersion& version) {
  if (relation.replica_identity == 'f') {
    version.identity = version.key.empty() ? RowIdentity::kFullRow : RowIdentity::kKey;
    return;
  }
  std::vector<std::uint32_t> key = flagged(table);
  if (!same_columns(key, version.key)) version.key = std::move(key);
  version.identity = version.key.empty() ? RowIdentity::kNone : RowIdentity::kKey;
}

}  // namespace

bool Relations::knows(std::uint32_t oid, std::string_view message) const {
  auto found = tables_.find(oid);
  return found != tables_.end() && found->second.message == message;
}

void Relations::take(const Relation& relation, std::string_view message, const DescribedTable* by_trigger,
                     Connection& connection, std::stop_token stop) {
  std::optional<DescribedTable> now;
  if (by_trigger == nullptr || !match(*by_trigger, relation)) {
    now = describe_table(connection, settings_, relation.oid, stop);
    by_trigger = now && match(*now, relation) ? &*now : nullptr;
  }
  StreamTable table =
      by_trigger != nullptr ? from_catalog(relation, *by_trigger) : from_message(relation, connection, stop);
  table.row_size = relation.columns.size();
  table.message = message;
  for (StreamTable::Column& column : table.columns) column.read = text_reader(column.codec.codec);

  auto& known = tables_[relation.oid];
  // A message that came again for another reason (a new owner, a new statistics target) changes nothing.
  bool changed = !known.version || *known.version != *table.version;
  table.announced = !changed && known.announced;
  if (!changed) table.version = known.version;
  auto announced = announced_.find(relation.oid);
  if (announced != announced_.end()) {
    bool same = *announced->second == *table.version;
    if (same) table.version = announced->second;
    table.announced |= same;
    announced_.erase(announced);
  }
  known = std::move(table);
}

bool Relations::announce(const model::TableVersionPtr& version) {
  auto oid = static_cast<std::uint32_t>(version->source_table);
  model::TableVersionPtr last = version_of(oid);
  auto known = tables_.find(oid);
  // Its next rows are read by the new shape, whose RELATION message may have the same bytes.
  if (known != tables_.end()) known->second.message.clear();
  if (last && *last == *version && (known == tables_.end() || known->second.announced)) return false;
  announced_[oid] = version;
  return true;
}

model::TableVersionPtr Relations::version_of(std::uint32_t oid) const {
  auto announced = announced_.find(oid);
  if (announced != announced_.end()) return announced->second;
  auto known = tables_.find(oid);
  return known == tables_.end() ? nullptr : known->second.version;
}

void Relations::forget(std::uint32_t oid) {
  tables_.erase(oid);
  announced_.erase(oid);
}

StreamTable& Relations::find(std::uint32_t oid) {
  auto found = tables_.find(oid);
  if (found == tables_.end()) {
    throw Error(ErrorKind::kSourceProtocol,
                fmt::format("the stream has a change of table {} before its description", oid));
  }
  return found->second;
}

StreamTable Relations::from_catalog(const Relation& relation, const DescribedTable& table) const {
  auto places = match(table, relation);
  StreamTable stream;
  auto version = std::make_shared<TableVersion>(*table.version);
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    // The estimate changes with every ANALYZE and is of no use to changes.
    version->columns[i].distinct_share = -1;
    std::int32_t place = (*places)[i];
    stream.columns.push_back(
        {.place = place,
         .in_identity = place >= 0 && relation.columns[static_cast<std::size_t>(place)].in_identity,
         .type_oid = table.columns[i].type_oid,
         .typmod = table.columns[i].typmod,
         .codec = table.columns[i].codec});
  }
  set_identity(relation, stream, *version);
  stream.version = std::move(version);
  return stream;
}

// A column that the last known version has too keeps all that is known of it.
StreamTable Relations::from_message(const Relation& relation, Connection& connection, std::stop_token stop) {
  auto known = tables_.find(relation.oid);
  StreamTable stream;
  auto version = std::make_shared<TableVersion>();
  version->name = {.schema = std::string(relation.schema), .table = std::string(relation.name)};
  version->source_table = relation.oid;
  std::vector<std::int32_t> new_place;  // Of each column of the known version, -1 where it is gone.
  if (known != tables_.end()) new_place.assign(known->second.columns.size(), -1);

  for (std::size_t i = 0; i < relation.columns.size(); ++i) {
    const RelationColumn& sent = relation.columns[i];
    StreamTable::Column column;
    column.place = static_cast<std::int32_t>(i);
    column.in_identity = sent.in_identity;
    column.type_oid = sent.type_oid;
    column.typmod = sent.typmod;
    model::Column described;
    described.name = sent.name;
    bool is_known = false;
    if (known != tables_.end()) {
      const StreamTable& before = known->second;
      for (std::size_t k = 0; k < before.columns.size(); ++k) {
        if (before.version->columns[k].name != sent.name || before.columns[k].type_oid != sent.type_oid ||
            before.columns[k].typmod != sent.typmod) {
          continue;
        }
        described = before.version->columns[k];
        column.codec = before.columns[k].codec;
        new_place[k] = static_cast<std::int32_t>(i);
        is_known = true;
      }
    }
    if (!is_known) {
      auto type = describe_type(connection, sent.type_oid, sent.typmod, stop);
      // A type that is gone is read as text; its values came as text.
      MappedType mapped =
          type ? map_type(type->type, settings_)
               : MappedType{.type = {.id = model::TypeId::kNclob}, .codec = {.codec = Codec::kPrinted}};
      if (mapped.codec.codec == Codec::kMoney) mapped.codec.money_digits = money_digits(connection, stop);
      described.type = mapped.type;
      described.source_type = type ? type->declared : "text";
      column.codec = mapped.codec;
    }
    version->columns.push_back(std::move(described));
    stream.columns.push_back(column);
  }
  if (known != tables_.end()) {
    for (std::uint32_t old : known->second.version->key) {
      if (new_place[old] >= 0) version->key.push_back(static_cast<std::uint32_t>(new_place[old]));
    }
    if (version->key.size() != known->second.version->key.size()) version->key.clear();
  }
  set_identity(relation, stream, *version);
  stream.version = std::move(version);
  return stream;
}

}  // namespace ferry::postgres
