// The load reads the server's binary form and the streams its text form. For every type and every edge of it
// the load and both decoders must yield the same cell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <regex>
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
};

// What tests/data/postgres_types says for a major; the forms in files are tests/types' matter.
struct TypesFile {
  std::string setup;
  std::vector<TypeCase> types;
};

// Takes "[14-] " or "[-15] " off the line's front and returns whether the major is among them.
bool take_majors(std::string& line, int major) {
  static const std::regex form(R"(\[(\d*)-(\d*)\] )");
  std::smatch match;
  if (!std::regex_search(line, match, form, std::regex_constants::match_continuous)) return true;
  bool among = (match[1].length() == 0 || std::stoi(match[1]) <= major) &&
               (match[2].length() == 0 || major <= std::stoi(match[2]));
  line = match.suffix();
  return among;
}

TypesFile read_types(int major) {
  constexpr std::string_view kSetup = "setup ";
  constexpr std::string_view kType = "type ";
  std::ifstream file(FERRY_TEST_DATA "/postgres_types");
  EXPECT_TRUE(file.is_open());
  TypesFile types;
  bool is_meant = false;
  for (std::string line; std::getline(file, line);) {
    bool is_value = line.starts_with("    ");
    line.erase(0, line.find_first_not_of(' '));
    bool among = take_majors(line, major);
    if (is_value) {
      if (among && is_meant) types.types.back().values.push_back(line.substr(0, line.find(" => ")));
    } else if (line.starts_with(kSetup) && among) {
      types.setup += line.substr(kSetup.size()) + ";";
    } else if (line.starts_with(kType)) {
      is_meant = among;
      std::size_t arrow = line.find(" -> ");
      if (among)
        types.types.push_back({line.substr(kType.size(), arrow - kType.size()), line.substr(arrow + 4), {}});
    }
  }
  return types;
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
  const TypesFile types = read_types(GetParam());
  server.sql(types.setup);

  const std::vector<TypeCase>& wanted = types.types;
  ASSERT_FALSE(wanted.empty());
  std::string columns = "id int PRIMARY KEY";
  for (std::size_t i = 0; i < wanted.size(); ++i)
    columns += ", c" + std::to_string(i + 1) + " " + wanted[i].type;
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
