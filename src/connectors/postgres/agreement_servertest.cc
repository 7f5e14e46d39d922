// The load reads the server's binary form and the streams its text form. For every type and every edge of it
// the load and both decoders must yield the same cell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "connectors/postgres/tools_servertest.h"
#include "tests/support/postgres_server.h"

namespace ferry::postgres::testing {
namespace {

using test_support::PostgresServer;

struct TypeCase {
  std::string type;
  std::string logical;              // As model::to_string() prints it.
  std::vector<std::string> values;  // SQL expressions.
  int first_major = 0;
};

const std::vector<TypeCase>& cases() {
  static const std::vector<TypeCase> all = {
      {"smallint", "INT2", {"-32768", "32767", "0"}},
      {"integer", "INT4", {"-2147483648", "2147483647"}},
      {"bigint", "INT8", {"-9223372036854775808", "9223372036854775807"}},
      {"real",
       "REAL4",
       {"'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "1.1754944e-38", "1e-45", "3.4028235e38", "0.1"}},
      {"double precision",
       "REAL8",
       {"'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "5e-324", "1.7976931348623157e308", "0.1"}},
      {"numeric(12,2)",
       "NUMERIC(12,2)",
       {"0", "-0.01", "9999999999.99", "'NaN'", "100", "10000", "-123456.7"}},
      {"numeric(38,0)",
       "NUMERIC(38,0)",
       {"99999999999999999999999999999999999999", "-1", "10000000000000000"}},
      {"numeric(38,37)", "NUMERIC(38,37)", {"9.9999999999999999999999999999999999999", "-1", "1e-37", "0"}},
      {"numeric(38,38)", "NUMERIC(38,38)", {"0.99999999999999999999999999999999999999", "0.1"}},
      {"numeric(39,3)", "STRING", {"999999999999999999999999999999999999.999", "'NaN'"}},
      {"numeric",
       "NUMERIC",
       {"0.611111104488373", "'NaN'", "123456.789012345678901234567890123456789012345", "1e100", "-0.00001",
        "0.000", "10000.0000"}},
      {"numeric", "NUMERIC", {"'Infinity'", "'-Infinity'"}, 14},
      {"numeric(5,-2)", "STRING", {"12300", "-999900"}, 15},
      {"numeric(3,5)", "STRING", {"0.00999"}, 15},
      {"money",
       "NUMERIC(38,4)",
       {"'-$1,234.56'", "'92233720368547758.07'", "'-92233720368547758.08'", "'0.05'"}},
      {"boolean", "STRING(5)", {"true", "false"}},
      {"char(5)", "WSTRING(5)", {"'ab'", "''", "'abcde'", "' a '"}},
      {"varchar(20)", "WSTRING(20)", {"'ab  '", "''", "'sélect €'"}},
      {"varchar", "WSTRING", {"'x'"}},
      {"text", "NCLOB", {"''", "E'a\\tb\\n\\\\c'", "repeat('é', 5000)"}},
      {"name", "NCLOB", {"'some_name'"}},
      {"\"char\"", "STRING(1)", {"'x'", "''"}},
      {"bytea", "BLOB", {"''", "'\\x00ff10'::bytea", "decode(repeat('ab', 5000), 'hex')"}},
      {"uuid", "STRING(36)", {"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"}},
      {"date",
       "DATE",
       {"'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'1970-01-01'", "'2000-02-29'",
        "'1969-12-31'", "'0001-12-31 BC'"}},
      {"time", "TIME(6)", {"'24:00:00'", "'00:00:00'", "'23:59:59.999999'"}},
      {"time(3)", "TIME(3)", {"'12:34:56.7894'"}},
      {"timetz", "TIME(6)", {"'12:34:56.789+05:30'", "'24:00:00-03:30'", "'00:00:00+15:59:59'"}},
      {"timestamp",
       "DATETIME(6)",
       {"'infinity'", "'-infinity'", "'4713-01-01 00:00:00 BC'", "'294276-12-31 23:59:59.999999'",
        "'294247-01-10 04:00:54.775807'", "'294247-01-10 04:00:54.775808'", "'1969-12-31 23:59:59.999999'",
        "'2024-02-29 12:00:00.5'", "'0001-01-01 00:00:00'", "'12345-06-07 08:09:10'"}},
      {"timestamp(0)", "DATETIME(0)", {"'2024-02-29 12:00:00.5'"}},
      {"timestamptz",
       "DATETIME(6)",
       {"'infinity'", "'4713-01-02 00:00:00+00 BC'", "'294276-12-31 23:59:59.999999+00'",
        "'2024-07-01 12:00:00+05:30'"}},
      {"interval", "STRING(128)", {"'-178000000 years'", "'1 year -2 mons 3 days 04:05:06.789'", "'0'"}},
      {"json", "NCLOB", {"'{\"a\":1, \"a\" :2}'", "'null'"}},
      {"jsonb", "NCLOB", {"'{\"b\":1, \"a\" :[1.50, null]}'", "'\"\"'"}},
      {"xml", "CLOB", {"'<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>é</a>'", "'<a/>'"}},
      {"int[]", "NCLOB", {"'{1,NULL,3}'", "'[0:1]={7,8}'", "'{{1,2},{3,4}}'", "'{}'"}},
      {"text[]", "NCLOB", {"'{\"a,b\",NULL,\"NULL\"}'"}},
      {"timestamptz[]", "NCLOB", {"'{2024-07-01 12:00:00+05:30}'"}},
      {"int4range", "STRING(255)", {"'[1,5)'", "'empty'", "'(,)'"}},
      {"int4multirange", "STRING(255)", {"'{[1,3),[5,7)}'"}, 14},
      {"inet", "STRING(50)", {"'1.2.3.4'", "'1.2.3.0/24'", "'::1'"}},
      {"cidr", "STRING(50)", {"'10.0.0.0/8'"}},
      {"macaddr", "STRING(18)", {"'08:00:2b:01:02:03'"}},
      {"bit(5)", "STRING(5)", {"B'10101'"}},
      {"varbit(8)", "STRING(8)", {"B'101'", "B''"}},
      {"varbit", "STRING", {"B'1'"}},
      {"tsvector", "CLOB", {"'a:1 b:2A'"}},
      {"tsquery", "CLOB", {"'a & !b'"}},
      {"point", "STRING(255)", {"'(1.5,-2)'"}},
      {"box", "STRING(255)", {"'(1,2),(3,4)'"}},
      {"path", "CLOB", {"'[(0,0),(1,1)]'"}},
      {"oid", "STRING", {"4294967295"}},
      {"pg_lsn", "STRING", {"'4AF/B00000D0'"}},
      {"regclass", "STRING", {"'pg_class'"}},
      {"mood", "STRING(64)", {"'sad'", "'it''s ok'"}},
      {"pair", "NCLOB", {"ROW(1,'a b')::pair", "ROW(NULL,'')::pair"}},
      {"positive", "INT4", {"7"}},
      {"short_text", "WSTRING(8)", {"'abc'"}},
      {"amounts", "NCLOB", {"'{1.50,2}'"}},
      {"price", "NUMERIC(10,2)", {"12.5"}},
      {"hstore", "NCLOB", {"'a=>1, b=>NULL'"}},
      {"citext", "NCLOB", {"'MiXed'"}},
  };
  return all;
}

std::string printable(const OwnedCell& cell) {
  std::string text = std::to_string(static_cast<int>(cell.state)) + ":";
  for (char c : cell.bytes) {
    char hex[3];
    snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(c));
    text += hex;
  }
  return text;
}

class AgreementTest : public ::testing::TestWithParam<int> {};

TEST_P(AgreementTest, LoadAndStreamsYieldTheSameCellForEveryType) {
  PostgresServer server(GetParam());
  server.sql(
      "CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE TYPE pair AS (a int, b text);"
      "CREATE DOMAIN positive AS int CHECK (value > 0); CREATE DOMAIN short_text AS varchar(8);"
      "CREATE DOMAIN amounts AS numeric[]; CREATE DOMAIN price AS numeric(10,2);"
      "CREATE EXTENSION hstore; CREATE EXTENSION citext");

  std::vector<TypeCase> wanted;
  std::string columns = "id int PRIMARY KEY";
  for (const TypeCase& each : cases()) {
    if (each.first_major > GetParam()) continue;
    wanted.push_back(each);
    columns += ", c" + std::to_string(wanted.size()) + " " + each.type;
  }
  server.sql("CREATE TABLE every_type (" + columns + ")");

  auto source = source_at(endpoint_at(server.port()));
  struct Stream {
    std::string plugin;
    MemoryNotes notes;
    std::unique_ptr<connector::Source> source;
    std::unique_ptr<connector::SourceCapture> capture;
  };
  std::array<Stream, 2> streams;
  streams[0].plugin = "no_preference";
  streams[1].plugin = "test_decoding";
  for (Stream& stream : streams) {
    auto endpoint = endpoint_at(server.port());
    endpoint.settings["pluginname"] = {.name = "PluginName", .value = stream.plugin};
    stream.source = source_at(endpoint);
    stream.capture = stream.source->capture(stream.notes);
    auto start = stream.capture->prepare(scope_of("agree_" + stream.plugin, {{"public", "every_type"}}), {});
    stream.capture->start(start.position, {});
  }

  // One row per value, so that a disagreement has a name.
  std::string inserts;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    for (const std::string& value : wanted[i].values) {
      inserts += "INSERT INTO every_type (id, c" + std::to_string(i + 1) + ") VALUES (" +
                 std::to_string(names.size()) + ", " + value + ");";
      names.push_back(wanted[i].type + " " + value.substr(0, 60));
    }
  }
  server.sql(inserts);

  Unloaded loaded = unload_all(*source, request_of({"public", "every_type"}));
  for (Stream& stream : streams) {
    SCOPED_TRACE(stream.plugin);
    Collector collector(*stream.capture);
    auto transaction = collector.next();
    ASSERT_TRUE(transaction);
    EXPECT_EQ(loaded.mark->covers(transaction->stamp), model::Coverage::kInCopy);

    std::vector<Row> streamed;
    model::TableVersionPtr version;
    for (const OwnedChange& change : transaction->changes) {
      if (change.kind != model::ChangeKind::kInsert) continue;
      streamed.push_back(change.after);
      version = change.table;
    }
    ASSERT_EQ(loaded.rows.size(), names.size());
    ASSERT_EQ(streamed.size(), names.size());
    ASSERT_EQ(loaded.table->columns.size(), wanted.size() + 1);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_EQ(to_string(loaded.table->columns[i + 1].type), wanted[i].logical) << wanted[i].type;
      EXPECT_EQ(to_string(version->columns[i + 1].type), wanted[i].logical) << wanted[i].type;
      EXPECT_EQ(version->columns[i + 1].source_number, loaded.table->columns[i + 1].source_number);
    }
    for (std::size_t row = 0; row < names.size(); ++row) {
      for (std::size_t column = 0; column < loaded.rows[row].size(); ++column) {
        EXPECT_EQ(printable(loaded.rows[row][column]), printable(streamed[row][column])) << names[row];
      }
    }
  }

  // Single rows read by key agree as well.
  auto lookup = source->lookup();
  std::vector<std::uint32_t> all_columns;
  for (std::uint32_t i = 0; i < loaded.table->columns.size(); ++i) all_columns.push_back(i);
  for (std::size_t row = 0; row < names.size(); ++row) {
    connector::SourceLookup::Wanted key{
        .table = loaded.table,
        .columns = all_columns,
        .key = {{.state = model::CellState::kValue, .bytes = loaded.rows[row][0].bytes}}};
    auto found = lookup->find(key, {});
    ASSERT_TRUE(found) << names[row];
    for (std::size_t column = 0; column < found->size(); ++column) {
      OwnedCell cell{.state = (*found)[column].state, .bytes = std::string((*found)[column].bytes)};
      EXPECT_EQ(printable(loaded.rows[row][column]), printable(cell)) << "lookup of " << names[row];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Majors, AgreementTest, ::testing::ValuesIn(PostgresServer::installed_majors()),
                         [](const auto& major) { return "postgres_" + std::to_string(major.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(AgreementTest);

}  // namespace
}  // namespace ferry::postgres::testing
