#include "connectors/postgres/printed_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using Printed = std::span<const test_decoding::Column>;
using Has = PrintedTables::Has;

// Tables that nobody asked for; they are forgotten when there are more.
constexpr std::size_t kTablesMax = 10'000;

// Everything of a table that its rows do not show, as one text.
constexpr std::string_view kHiddenQuery = R"(
SELECT c.oid, md5(concat_ws('/', n.nspname, c.relname, c.relreplident,
  (SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull), ','
                     ORDER BY a.attnum)
   FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT string_agg(concat_ws(' ', i.indexrelid, i.indkey, i.indisprimary, i.indisreplident, i.indisvalid,
                               i.indimmediate), ',' ORDER BY i.indexrelid)
   FROM pg_index i WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisreplident))))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[]))";

// Digits behind the point. The server prints a numeric with as many as its column has.
std::int32_t fraction_digits(const Value& value) {
  auto point = value.bytes.find('.');
  return point == std::string_view::npos ? 0 : static_cast<std::int32_t>(value.bytes.size() - point - 1);
}

bool has_too_many_digits(const PrintedTable::Column& column, const Value& value) {
  return column.fraction_digits_max >= 0 && fraction_digits(value) > column.fraction_digits_max;
}

bool shows(const PrintedTable& table, Printed columns) {
  return std::ranges::equal(columns, table.columns, [](const auto& printed, const auto& known) {
    return printed.name == known.name && printed.type == known.type &&
           !has_too_many_digits(known, printed.value);
  });
}

// Whether the columns, some of an old row, are all the table's, in its order.
bool has_some(const PrintedTable& table, Printed columns) {
  auto next = table.columns.begin();
  for (const test_decoding::Column& column : columns) {
    next = std::find_if(next, table.columns.end(), [&](const PrintedTable::Column& known) {
      return known.name == column.name && known.type == column.type;
    });
    if (next++ == table.columns.end()) return false;
  }
  return true;
}

// What the rows do not show of a column.
struct Facts {
  std::uint32_t type_oid = 0;
  std::int32_t typmod = -1;
  bool in_identity = false;
  bool is_virtual = false;
};

std::optional<Facts> facts_of(const DescribedTable& table, const test_decoding::Column& column) {
  for (std::uint32_t i = 0; i < table.columns.size(); ++i) {
    const CatalogColumn& each = table.columns[i];
    if (table.version->columns[i].name != column.name || each.type_name != column.type) continue;
    bool in_identity = table.replica_identity == 'f' || std::ranges::count(table.version->key, i) > 0;
    return Facts{each.type_oid, each.typmod, in_identity, each.is_virtual};
  }
  return std::nullopt;
}

std::optional<Facts> facts_of(const PrintedTable& table, const test_decoding::Column& column) {
  for (const PrintedTable::Column& each : table.columns) {
    if (each.name != column.name || each.type != column.type) continue;
    if (each.place < 0) return Facts{.is_virtual = true};
    for (const StreamTable::Column& known : table.shape->columns) {
      if (known.place == each.place) return Facts{known.type_oid, known.typmod, known.in_identity, false};
    }
  }
  return std::nullopt;
}

// Whether the columns, some of an old row, are the table's, in its order.
bool agrees(const DescribedTable& table, Printed columns, Has has) {
  if (has == Has::kAll && columns.size() != table.columns.size()) return false;
  std::size_t next = 0;
  return std::ranges::all_of(columns, [&](const test_decoding::Column& column) {
    while (next < table.columns.size() && table.version->columns[next].name != column.name) ++next;
    return next < table.columns.size() && table.columns[next++].type_name == column.type;
  });
}

std::uint32_t type_named(std::string_view name, Connection& connection, std::stop_token stop) {
  Result found = connection.run({.sql = "SELECT coalesce(to_regtype($1)::oid, 0)",
                                 .doing = "look up a type",
                                 .parameters = {std::string(name)}},
                                stop);
  return static_cast<std::uint32_t>(found.integer(0, 0));
}

std::vector<test_decoding::Column> columns_of(const DescribedTable& table) {
  std::vector<test_decoding::Column> columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    columns.push_back(
        {.name = table.version->columns[i].name, .type = table.columns[i].type_name, .value = {}});
  }
  return columns;
}

// Nothing where the table is gone, or has another name by now.
std::optional<DescribedTable> describe_if_there(Connection& connection, const Settings& settings,
                                                const model::TableName& name, std::stop_token stop) {
  try {
    return describe_table(connection, settings, name, stop);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kSourceTable) throw;
    return std::nullopt;
  }
}

}  // namespace

PrintedTable& PrintedTables::find(std::string_view printed) {
  name_ = printed;
  auto found = tables_.find(name_);
  if (found != tables_.end()) return found->second;
  if (tables_.size() >= kTablesMax) {
    std::erase_if(tables_, [](const auto& each) { return !each.second.wanted; });
  }
  PrintedTable& table = tables_[name_];
  table.wanted = wants_(test_decoding::parse_table(printed));
  return table;
}

// The table that has the name at the row's place in the log, as far as anybody knows.
std::optional<DescribedTable> PrintedTables::table_now(const PrintedTable& table,
                                                       const model::TableName& name, Printed columns, Has has,
                                                       std::stop_token stop) {
  const DescribedTable* told = shapes_.find(name, stop);
  bool told_agrees = told != nullptr && agrees(*told, columns, has);
  bool is_doubtful = told != nullptr && shapes_.is_doubtful(told->version->source_table);
  if (told_agrees && !is_doubtful) return *told;
  std::optional<DescribedTable> now = describe_if_there(control_(stop), settings_, name, stop);
  std::uint64_t before = 0;
  if (told != nullptr) {
    before = told->version->source_table;
  } else if (table.shape) {
    before = table.shape->version->source_table;
  }
  bool is_another = now && before != 0 && now->version->source_table != before;
  if (told != nullptr && is_another && (!is_doubtful || !agrees(*now, columns, has))) now.reset();
  if (told_agrees && !(now && is_another)) return *told;
  if (now && is_another) {
    base::log_warning(
        base::kSourceCapture,
        "the name {} is another table's by now, and the log does not say since when: rows that may "
        "be of either are taken for the present one's, so the last changes of the former one may "
        "be missing. Where the source user may make event triggers (CaptureDdls), the log says it",
        to_string(name));
  }
  return now;
}

void PrintedTables::fit(PrintedTable& table, std::string_view printed, Printed columns, Has has,
                        std::stop_token stop) {
  model::TableName name = test_decoding::parse_table(printed);
  // Another message may be about another table that has the name now.
  if (table.told_at != shapes_.changes()) {
    const DescribedTable* told = shapes_.find(name, stop);
    model::TableVersionPtr version = told ? told->version : nullptr;
    table.is_current &= table.told == version;
    table.told_at = shapes_.changes();
    table.told = std::move(version);
    if (table.shape && shapes_.has_left(table.shape->version->source_table, name)) {
      table.shape = nullptr;
      table.is_current = false;
    }
  }
  if (table.is_current && (has == Has::kAll ? shows(table, columns) : has_some(table, columns))) return;
  Connection& connection = control_(stop);
  const DescribedTable* told = shapes_.find(name, stop);
  std::optional<DescribedTable> now = table_now(table, name, columns, has, stop);

  // A row without all its columns is one of the catalog's table, or of the last shape, if that has them.
  std::vector<test_decoding::Column> all_columns;
  if (has == Has::kSome) {
    if (now) all_columns = columns_of(*now);
    bool is_same = table.shape && (!now || now->version->source_table == table.shape->version->source_table);
    if (is_same && !(now && shows(table, all_columns)) && has_some(table, columns)) {
      table.is_current = true;
      return;
    }
    bool in_catalog = now && std::ranges::all_of(columns, [&](const test_decoding::Column& column) {
                        return facts_of(*now, column).has_value();
                      });
    if (in_catalog) columns = all_columns;
  }

  Relation relation{.schema = name.schema, .name = name.table};
  if (now) {
    relation.oid = static_cast<std::uint32_t>(now->version->source_table);
    relation.replica_identity = now->replica_identity;
  } else if (told != nullptr) {
    relation.oid = static_cast<std::uint32_t>(told->version->source_table);
    relation.replica_identity = told->replica_identity;
  } else if (table.shape) {
    relation.oid = static_cast<std::uint32_t>(table.shape->version->source_table);
    relation.replica_identity = table.shape->whole_old_rows ? 'f' : 'd';
  }
  // Nothing of another table's columns holds for this one's.
  bool is_known = table.shape && table.shape->version->source_table == relation.oid;
  StreamTablePtr last = is_known ? table.shape : nullptr;
  if (!last && told != nullptr && told->version->source_table == relation.oid) last = stream_table_of(*told);
  std::vector<RelationColumn> sent;
  std::vector<PrintedTable::Column> shown;
  std::vector<const Value*> values;  // Of `sent`.
  for (const test_decoding::Column& column : columns) {
    std::optional<Facts> facts;
    if (now) facts = facts_of(*now, column);
    if (!facts && !now && told != nullptr) facts = facts_of(*told, column);
    if (!facts && is_known) facts = facts_of(table, column);
    // With nothing else known, an old row that is not whole has the columns of its identity.
    if (!facts) {
      facts = Facts{.type_oid = type_named(column.type, connection, stop),
                    .in_identity = has == Has::kSome && !now && told == nullptr && !is_known};
    }
    shown.push_back({.name = std::string(column.name),
                     .type = std::string(column.type),
                     .place = facts->is_virtual ? -1 : static_cast<std::int32_t>(sent.size())});
    if (facts->is_virtual) continue;
    sent.push_back({.in_identity = facts->in_identity,
                    .name = column.name,
                    .type_oid = facts->type_oid,
                    .typmod = facts->typmod});
    values.push_back(&column.value);
  }
  relation.columns = sent;

  table.shape = make_stream_table(relation, now, last, settings_, connection, stop);
  auto limit_digits = [&] {
    bool fits = true;
    for (PrintedTable::Column& column : shown) {
      column.fraction_digits_max = -1;
      for (const StreamTable::Column& known : table.shape->columns) {
        if (column.place < 0 || known.place != column.place || known.codec.codec != Codec::kNumeric) continue;
        auto place = static_cast<std::size_t>(column.place);
        column.fraction_digits_max = known.codec.scale;
        if (!has_too_many_digits(column, *values[place])) continue;
        // The catalog is of a time when the column had another modifier: any number of digits will do.
        sent[place].typmod = -1;
        fits = false;
      }
    }
    return fits;
  };
  if (!limit_digits()) {
    table.shape = make_stream_table(relation, now, last, settings_, connection, stop);
    limit_digits();
  }
  table.columns = std::move(shown);
  table.is_current = true;
  table.hidden.clear();
}

bool PrintedTables::fits_identity(const PrintedTable& table, Printed before) {
  std::uint64_t oid = table.shape->version->source_table;
  if (!shapes_.is_doubtful(oid)) return true;
  bool fits = std::ranges::all_of(table.columns, [&](const PrintedTable::Column& known) {
    bool is_there = std::ranges::find(before, known.name, &test_decoding::Column::name) != before.end();
    bool in_identity = std::ranges::any_of(table.shape->columns, [&](const StreamTable::Column& column) {
      return column.place == known.place && column.place >= 0 && column.in_identity;
    });
    // What is null is left out of a whole old row.
    return is_there == in_identity || (!is_there && table.shape->whole_old_rows);
  });
  if (!fits) shapes_.forget_doubtful(oid);
  return fits;
}

void PrintedTables::look_again(std::stop_token stop) {
  std::string oids;
  for (const auto& [name, table] : tables_) {
    if (!table.is_current) continue;
    oids += fmt::format("{}{}", oids.empty() ? "" : ",", table.shape->version->source_table);
  }
  if (oids.empty()) return;
  Result found = control_(stop).run({.sql = std::string(kHiddenQuery),
                                     .doing = "compare the tables' shapes with the catalog",
                                     .parameters = {"{" + oids + "}"}},
                                    stop);
  std::unordered_map<std::uint64_t, std::string> hidden;
  for (int i = 0; i < found.rows(); ++i) {
    hidden.emplace(static_cast<std::uint64_t>(found.integer(i, 0)), found.text(i, 1));
  }
  for (auto& [name, table] : tables_) {
    if (!table.is_current) continue;
    // What was described since the last look may be of the time before what is found now.
    std::string& now = hidden[table.shape->version->source_table];
    table.is_current = table.hidden == now;
    table.hidden = now;
  }
}

}  // namespace ferry::postgres
