// SourceCatalog, SourceLookup and Source::check().

#include <algorithm>

#include "tests/conformance/source_conformance.h"

namespace ferry::conformance {
namespace {

std::vector<std::string> names_in(const std::vector<connector::CatalogTable>& tables,
                                  const std::string& schema) {
  std::vector<std::string> names;
  for (const auto& table : tables) {
    if (table.name.schema == schema) names.push_back(table.name.table);
  }
  return names;
}

}  // namespace

TEST_P(SourceConformance, CatalogListsTablesAndViewsInOrder) {
  create(fixture_->name("awsdms_ddl_audit"));
  create(fixture_->name("customers"));
  fixture_->create_view(fixture_->name("all_orders"), table_);
  create(fixture_->name("items"));

  auto tables = source_->catalog()->tables({});

  EXPECT_TRUE(std::ranges::is_sorted(tables, {}, &connector::CatalogTable::name));
  EXPECT_EQ(names_in(tables, table_.schema),
            (std::vector<std::string>{"all_orders", "customers", "items", "orders"}));
  for (const auto& table : tables) {
    EXPECT_EQ(table.name.schema, table_.schema) << "a system schema is listed: " << to_string(table.name);
    bool is_view = table.name.table == "all_orders";
    EXPECT_EQ(table.kind, is_view ? connector::TableKind::kView : connector::TableKind::kTable);
  }
}

TEST_P(SourceConformance, CatalogListsLeavesInPlaceOfPartitionedParents) {
  if (!fixture_->create_partitioned(fixture_->name("events"), fixture_->name("events_1"))) GTEST_SKIP();
  EXPECT_EQ(names_in(source_->catalog()->tables({}), table_.schema),
            (std::vector<std::string>{"events_1", "orders"}));
}

TEST_P(SourceConformance, DescribeGivesTheShape) {
  auto shape = source_->catalog()->describe(table_, {});
  EXPECT_EQ(shape->name, table_);
  ASSERT_EQ(shape->columns.size(), 2U);
  EXPECT_EQ(shape->columns[0].name, kIdColumn);
  EXPECT_EQ(shape->columns[0].type.id, model::TypeId::kInt4);
  EXPECT_FALSE(shape->columns[0].nullable);
  EXPECT_EQ(shape->columns[1].name, kNameColumn);
  EXPECT_TRUE(shape->columns[1].type.is_text());
  EXPECT_TRUE(shape->columns[1].nullable);
  EXPECT_EQ(shape->identity, model::RowIdentity::kKey);
  EXPECT_EQ(shape->key, std::vector<std::uint32_t>{0});
}

TEST_P(SourceConformance, DescribeTellsTablesWithoutKeyApart) {
  create(fixture_->name("notes"), model::RowIdentity::kNone);
  auto catalog = source_->catalog();
  auto shape = catalog->describe(fixture_->name("notes"), {});
  EXPECT_EQ(shape->identity, model::RowIdentity::kNone);
  EXPECT_TRUE(shape->key.empty());
  if (!fixture_->quirks().logs_full_rows) GTEST_SKIP();
  create(fixture_->name("lines"), model::RowIdentity::kFullRow);
  shape = catalog->describe(fixture_->name("lines"), {});
  EXPECT_EQ(shape->identity, model::RowIdentity::kFullRow);
  EXPECT_TRUE(shape->key.empty());
}

TEST_P(SourceConformance, DescribeIsOfNow) {
  auto catalog = source_->catalog();
  ASSERT_EQ(catalog->describe(table_, {})->columns.size(), 2U);
  commit([&](SourceSession& session) { ASSERT_TRUE(session.add_column(table_, "extra", kDeadline)); });
  auto shape = catalog->describe(table_, {});
  ASSERT_EQ(shape->columns.size(), 3U);
  EXPECT_EQ(shape->columns[2].name, "extra");
}

TEST_P(SourceConformance, DescribeOfNoTableIsATableError) {
  auto catalog = source_->catalog();
  EXPECT_EQ(error_of([&] { catalog->describe(fixture_->name("nowhere"), {}); }),
            base::ErrorKind::kSourceTable);
  EXPECT_EQ(catalog->describe(table_, {})->name, table_) << "the catalog is of use after a table error";
}

TEST_P(SourceConformance, LookupFindsTheRowAsItIs) {
  insert(table_, {{1, "one"}, {2, std::nullopt}});
  auto shape = source_->catalog()->describe(table_, {});
  auto lookup = source_->lookup();
  std::string key;
  auto find = [&](std::int32_t id, std::vector<std::uint32_t> columns) {
    key.assign(reinterpret_cast<const char*>(&id), sizeof id);
    return lookup->find({shape, std::move(columns), {{model::CellState::kValue, key}}}, {});
  };

  auto cells = find(1, {1, 0});  // In the order asked.
  ASSERT_TRUE(cells);
  ASSERT_EQ(cells->size(), 2U);
  EXPECT_EQ(text_of(shape->columns[1].type, (*cells)[0]), "one");
  EXPECT_EQ(text_of(shape->columns[0].type, (*cells)[1]), "1");
  cells = find(2, {1});
  ASSERT_TRUE(cells);
  EXPECT_EQ((*cells)[0].state, model::CellState::kNull);
  EXPECT_FALSE(find(3, {1}));

  commit([&](SourceSession& session) { session.update(table_, 1, {1, "two"}); });
  cells = find(1, {1});
  ASSERT_TRUE(cells);
  EXPECT_EQ(text_of(shape->columns[1].type, (*cells)[0]), "two");
}

TEST_P(SourceConformance, CheckAnswersEveryPrerequisite) {
  auto things = fixture_->capture_things();
  auto without = source_->check(false, {});
  auto with = source_->check(true, {});
  EXPECT_GE(with.size(), without.size());
  for (const auto& prerequisite : with) {
    EXPECT_FALSE(prerequisite.name.empty());
    EXPECT_TRUE(prerequisite.met || !prerequisite.required)
        << prerequisite.name << ": " << prerequisite.remedy;
    EXPECT_EQ(prerequisite.met, prerequisite.remedy.empty()) << prerequisite.name;
  }
  EXPECT_EQ(fixture_->capture_things(), things) << "a check made something";
}

TEST_P(SourceConformance, OpeningMakesNoConnection) {
  auto unreachable = fixture_->open_unreachable();
  if (!unreachable) GTEST_SKIP();
  EXPECT_EQ(error_of([&] { unreachable->check(true, {}); }), base::ErrorKind::kSourceUnreachable);
}

TEST_P(SourceConformance, ABrokenConnectionMayBeTriedAgain) {
  insert(table_, numbered(0, 3));
  auto catalog = source_->catalog();
  catalog->tables({});
  if (!fixture_->drop_connections()) GTEST_SKIP();
  auto error = error_of([&] { catalog->tables({}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(base::facts_of(*error).recovery, base::Recovery::kRecoverable);
  catalog.reset();
  open_again();
  EXPECT_EQ(rows(table_), numbered(0, 3));
}

TEST_P(SourceConformance, CatalogAndLookupStop) {
  insert(table_, numbered(0, 1));
  auto catalog = source_->catalog();
  auto shape = catalog->describe(table_, {});
  expect_stops_at_once([&](std::stop_token stop) { source_->check(true, stop); });
  expect_stops_at_once([&](std::stop_token stop) { catalog->tables(stop); });
  expect_stops_at_once([&](std::stop_token stop) { catalog->describe(table_, stop); });
  expect_stops_at_once([&](std::stop_token stop) {
    std::string key(4, '\0');
    source_->lookup()->find({shape, {1}, {{model::CellState::kValue, key}}}, stop);
  });
}

}  // namespace ferry::conformance
