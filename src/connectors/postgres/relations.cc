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

StreamTable from_catalog(const Relation& relation, const DescribedTable& table,
                         const std::vector<std::int32_t>& places) {
  StreamTable stream;
  auto version = std::make_shared<TableVersion>(*table.version);
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    // The estimate changes with every ANALYZE and is of no use to changes.
    version->columns[i].distinct_share = -1;
    std::int32_t place = places[i];
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

// Whether the numbers of the columns that have one ascend, as they do in every table.
bool is_in_order(const TableVersion& table) {
  std::int32_t last = 0;
  return std::ranges::all_of(table.columns, [&](const model::Column& column) {
    return column.source_number == 0 || std::exchange(last, column.source_number) < column.source_number;
  });
}

// Generated columns are not in the message, and are there still as far as is known: each comes behind the
// column that it was behind. `new_place` says where the known version's columns are, -1 for those that are
// gone.
void add_generated(const StreamTable& known, std::vector<std::int32_t>& new_place, StreamTable& stream,
                   TableVersion& version) {
  std::int32_t place = 0;
  for (std::size_t k = 0; k < new_place.size(); ++k) {
    const model::Column& described = known.version->columns[k];
    bool is_sent =
        std::ranges::find(version.columns, described.name, &model::Column::name) != version.columns.end();
    if (new_place[k] < 0 && described.generated && !is_sent) {
      for (std::int32_t& other : new_place) other += other >= place ? 1 : 0;
      new_place[k] = place;
      StreamTable::Column column = known.columns[k];
      column.place = -1;
      stream.columns.insert(stream.columns.begin() + place, column);
      version.columns.insert(version.columns.begin() + place, described);
    }
    if (new_place[k] >= 0) place = new_place[k] + 1;
  }
}

// A column that the last known version has too keeps all that is known of it.
StreamTable from_relation(const Relation& relation, const StreamTable* known, const Settings& settings,
                          Connection& connection, std::stop_token stop) {
  StreamTable stream;
  auto version = std::make_shared<TableVersion>();
  version->name = {.schema = std::string(relation.schema), .table = std::string(relation.name)};
  version->source_table = relation.oid;
  std::vector<std::int32_t> new_place;  // Of each column of the known version, -1 where it is gone.
  if (known != nullptr) new_place.assign(known->columns.size(), -1);

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
    if (known != nullptr) {
      const StreamTable& before = *known;
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
          type ? map_type(type->type, settings)
               : MappedType{.type = {.id = model::TypeId::kNclob}, .codec = {.codec = Codec::kPrinted}};
      if (mapped.codec.codec == Codec::kMoney) mapped.codec.money_digits = money_digits(connection, stop);
      described.type = mapped.type;
      described.source_type = type ? type->declared : "text";
      column.codec = mapped.codec;
    }
    version->columns.push_back(std::move(described));
    stream.columns.push_back(column);
  }
  if (known != nullptr) add_generated(*known, new_place, stream, *version);
  if (!is_in_order(*version)) {
    for (model::Column& column : version->columns) column.source_number = 0;
  }
  if (known != nullptr) {
    for (std::uint32_t old : known->version->key) {
      if (new_place[old] >= 0) version->key.push_back(static_cast<std::uint32_t>(new_place[old]));
    }
    if (version->key.size() != known->version->key.size()) version->key.clear();
  }
  set_identity(relation, stream, *version);
  stream.version = std::move(version);
  return stream;
}

}  // namespace

StreamTablePtr stream_table_of(const DescribedTable& table) {
  StreamTable stream;
  stream.version = table.version;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const CatalogColumn& column = table.columns[i];
    stream.columns.push_back({.place = static_cast<std::int32_t>(i),
                              .in_identity = std::ranges::count(table.version->key, i) > 0,
                              .type_oid = column.type_oid,
                              .typmod = column.typmod,
                              .codec = column.codec,
                              .read = text_reader(column.codec.codec)});
  }
  stream.row_size = stream.columns.size();
  stream.whole_old_rows = table.replica_identity == 'f';
  return std::make_shared<const StreamTable>(std::move(stream));
}

StreamTablePtr make_stream_table(const Relation& relation, const std::optional<DescribedTable>& now,
                                 const StreamTablePtr& known, const Settings& settings,
                                 Connection& connection, std::stop_token stop) {
  auto places = now ? match(*now, relation) : std::nullopt;
  StreamTable table = places ? from_catalog(relation, *now, *places)
                             : from_relation(relation, known.get(), settings, connection, stop);
  table.by_catalog = places.has_value();
  table.row_size = relation.columns.size();
  table.whole_old_rows = relation.replica_identity == 'f';
  for (StreamTable::Column& column : table.columns) column.read = text_reader(column.codec.codec);
  // A description that came again for another reason (a new owner, a new statistics target) changes nothing.
  if (known && *known->version == *table.version) table.version = known->version;
  return std::make_shared<const StreamTable>(std::move(table));
}

const Relations::Described* Relations::current(std::uint32_t oid, std::uint32_t streamed_by) const {
  if (auto streamed = streamed_.find(streamed_by); streamed != streamed_.end()) {
    if (auto found = streamed->second.find(oid); found != streamed->second.end()) return &found->second;
  }
  auto found = tables_.find(oid);
  return found == tables_.end() ? nullptr : &found->second;
}

StreamTablePtr Relations::describe(const Relation& relation, const StreamTablePtr& known,
                                   std::stop_token stop) const {
  Connection& connection = control_(stop);
  std::optional<DescribedTable> now;
  const DescribedTable* told = shapes_.find(relation.oid, stop);
  if (told != nullptr) now = *told;
  if (!now || !match(*now, relation)) now = describe_table(connection, settings_, relation.oid, stop);
  StreamTablePtr last = known == nullptr && told != nullptr ? stream_table_of(*told) : known;
  return make_stream_table(relation, now, last, settings_, connection, stop);
}

void Relations::take(const pgoutput::Description& description, std::uint32_t streamed_by,
                     std::stop_token stop) {
  std::uint32_t oid = description.relation.oid;
  const Described* known = current(oid, streamed_by);
  StreamTablePtr table = known != nullptr ? known->table : nullptr;
  const DescribedTable* shape = shapes_.find(oid, stop);
  model::TableVersionPtr told = shape != nullptr ? shape->version : nullptr;
  bool is_same = table && known->bytes == description.bytes && known->told == told;
  if (!is_same) table = describe(description.relation, table, stop);
  ByOid& tables = streamed_by == 0 ? tables_ : streamed_[streamed_by];
  tables[oid] = {.table = std::move(table),
                 .bytes = std::string(description.bytes),
                 .told = std::move(told),
                 .order = ++taken_};
}

void Relations::take_told_names() {
  if (std::exchange(shapes_seen_, shapes_.changes()) == shapes_.changes()) return;
  for (auto& [oid, described] : tables_) {
    model::TableVersionPtr shape = shapes_.version(oid);
    if (shape == nullptr || shape == described.told) continue;
    if (shape->name == described.table->version->name) continue;
    auto version = std::make_shared<TableVersion>(*described.table->version);
    version->name = shape->name;
    auto table = std::make_shared<StreamTable>(*described.table);
    table->version = std::move(version);
    described.table = std::move(table);
  }
}

const StreamTable& Relations::find(std::uint32_t oid, std::uint32_t streamed_by) const {
  if (const Described* found = current(oid, streamed_by)) return *found->table;
  throw Error(ErrorKind::kSourceProtocol,
              fmt::format("the stream has a change of table {} before its description", oid));
}

void Relations::commit(std::uint32_t streamed_by, std::stop_token stop) {
  auto streamed = streamed_.extract(streamed_by);
  if (streamed.empty()) return;
  for (auto& [oid, described] : streamed.mapped()) {
    Described& known = tables_[oid];
    if (known.order > described.order) continue;
    known = std::move(described);
    if (known.table->by_catalog) continue;
    pgoutput::Decoder decoder;
    std::string message = "R" + known.bytes;
    auto again = std::get<pgoutput::Description>(decoder.decode(message));
    known.table = describe(again.relation, known.table, stop);
  }
}

}  // namespace ferry::postgres
