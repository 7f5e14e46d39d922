#include "engine/task_state.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;
using connector::ObjectPhase;
using connector::ObjectRecord;
using Existing = TaskState::Existing;

class TaskStateTest : public testing::Test {
 protected:
  TaskStateTest()
      : folder_(std::filesystem::temp_directory_path() / ("ferry-state-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
  }
  ~TaskStateTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<TaskState> open(Existing existing = Existing::kContinue) {
    return TaskState::open(folder_, "a=1\nb=2\n", existing);
  }
  static ErrorKind kind_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::kInternal;
  }
  static ObjectRecord change_object(const std::string& key, const std::string& last) {
    return {.table = {"public", "t"},
            .phase = ObjectPhase::kChanges,
            .load_epoch = 0,
            .key = key,
            .first = {{"a", "a"}, 1},
            .last = {{last, last}, 2},
            .rows = 3,
            .done = false};
  }

  const std::filesystem::path folder_;
};

TEST_F(TaskStateTest, TellsThatItsFileIsGone) {
  auto state = open();
  auto store = [&] {
    state->set_checkpoint(
        {.identity = {"here"}, .resume_position = {"a", "a"}, .applied_through = {"a", "a"}});
  };
  store();
  std::filesystem::remove_all(folder_);
  EXPECT_EQ(kind_of(store), ErrorKind::kStateUnusable);
}

TEST_F(TaskStateTest, KeepsEverythingOverAReopening) {
  std::string name;
  {
    auto state = open();
    name = state->task_name();
    state->set_phase(TaskPhase::kLoading);
    state->add_tables({{.source = {"public", "t"}, .target = {"public", "t"}}});
    state->set_table({.source = {"public", "t"},
                      .target = {"public", "t"},
                      .phase = TablePhase::kLoaded,
                      .load_epoch = 2,
                      .mark = "m",
                      .rows_loaded = 5,
                      .error = ""});
    // Keys are bytes: a NUL in them is kept.
    state->set_checkpoint({.identity = {"here"},
                           .resume_position = {std::string("\0\x01", 2), "0/1"},
                           .applied_through = {std::string("\0\0", 2), "0/0"}});
    state->set("pid", "42");
  }
  auto state = open();
  EXPECT_EQ(state->task_name(), name);
  EXPECT_EQ(state->phase(), TaskPhase::kLoading);
  ASSERT_EQ(state->tables().size(), 1U);
  EXPECT_EQ(state->tables()[0].phase, TablePhase::kLoaded);
  EXPECT_EQ(state->tables()[0].mark, "m");
  EXPECT_EQ(state->checkpoint()->resume_position.key(), std::string("\0\x01", 2));
  EXPECT_EQ(state->checkpoint()->identity.text, "here");
  EXPECT_EQ(state->get("pid"), "42");
  EXPECT_EQ(state->get("none"), std::nullopt);
}

TEST_F(TaskStateTest, OneProcessAtATime) {
  auto state = open();
  EXPECT_EQ(kind_of([&] { open(); }), ErrorKind::kStateInUse);
  state.reset();
  EXPECT_NO_THROW(open());
}

TEST_F(TaskStateTest, RefusesAnotherDefinitionUntilRestarted) {
  open()->set_phase(TaskPhase::kChanges);
  try {
    TaskState::open(folder_, "a=1\nb=3\n");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStateMismatch);
    EXPECT_NE(error.message().find("b"), std::string::npos);
  }
  auto state = TaskState::open(folder_, "a=1\nb=3\n", Existing::kRestart);
  EXPECT_EQ(state->phase(), TaskPhase::kNew);
  EXPECT_EQ(state->checkpoint(), std::nullopt);
}

TEST_F(TaskStateTest, TakesAnotherDefinitionWhileNothingIsDone) {
  {
    auto state = open();
    state->set_table({.source = {"public", "t"}, .target = {"public", "t"}, .phase = TablePhase::kError});
  }
  auto state = TaskState::open(folder_, "a=2\nb=2\n");
  state->forget_former_run();
  EXPECT_TRUE(state->tables().empty());
  state->set_phase(TaskPhase::kLoading);
  state.reset();
  EXPECT_EQ(kind_of([&] { open(); }), ErrorKind::kStateMismatch);
}

TEST_F(TaskStateTest, ARestartAtAnotherPlaceOwnsNothingThere) {
  auto open_at = [&](const std::string& url) {
    return TaskState::open(folder_, "TargetEndpoint.EndpointUrl=" + url + "\n", Existing::kRestart);
  };
  {
    auto state = open_at("file:///a");
    state->intend(change_object("public/t/1", "b"));
    state->set_table({.source = {"public", "t"}, .target = {"public", "t"}, .phase = TablePhase::kLoading});
    state->set_phase(TaskPhase::kChanges);
  }
  EXPECT_EQ(open_at("file:///a")->objects({"public", "t"}).size(), 1U);
  EXPECT_EQ(open_at("file:///a")->tables().size(), 1U) << "what it left unfinished is still to be removed";
  EXPECT_TRUE(open_at("file:///b")->objects({"public", "t"}).empty());
  EXPECT_TRUE(open_at("file:///b")->tables().empty());
}

TEST_F(TaskStateTest, JournalTellsIntentFromDone) {
  auto state = open();
  state->intend(change_object("k1", "b"));
  state->done({"public", "t"}, "k1");
  state->intend(change_object("k2", "c"));
  auto objects = state->objects({"public", "t"});
  ASSERT_EQ(objects.size(), 2U);
  EXPECT_TRUE(objects[0].done);
  EXPECT_FALSE(objects[1].done);
  EXPECT_EQ(objects[1].last, (connector::ChangePoint{{"c", "c"}, 2}));
  EXPECT_TRUE(state->objects({"public", "other"}).empty());

  state->forget({"public", "t"}, "k2");
  EXPECT_EQ(state->objects({"public", "t"}).size(), 1U);
  EXPECT_EQ(state->last_changes({"public", "t"})->key, "k2") << "a removed object's name is not given again";
}

TEST_F(TaskStateTest, ARestartForgetsCutsAndKeepsKeys) {
  {
    auto state = open();
    state->intend(change_object("k1", "zzz"));
  }
  auto state = open(Existing::kRestart);
  state->forget_former_run();
  auto objects = state->objects({"public", "t"});
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_TRUE(objects[0].last.commit.empty()) << "positions of the old stream mean nothing in the new one";
  EXPECT_TRUE(objects[0].done);
}

TEST_F(TaskStateTest, ForgetsTheLoadOfAnEpoch) {
  auto state = open();
  for (std::uint64_t epoch : {1U, 2U}) {
    state->intend({.table = {"public", "t"},
                   .phase = ObjectPhase::kLoad,
                   .load_epoch = epoch,
                   .key = "LOAD" + std::to_string(epoch),
                   .first = {},
                   .last = {},
                   .rows = 1,
                   .done = false});
  }
  state->forget_load({"public", "t"}, 1);
  auto objects = state->objects({"public", "t"});
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_EQ(objects[0].key, "LOAD2");
}

TEST_F(TaskStateTest, NotedCountsAreDurableWithTheTablesNextObjectOrTheCheckpoint) {
  model::TableName table{"public", "t"};
  RowCounts one{
      .load_errors = 0,
      .load_warnings = 0,
      .change_errors = 1,
      .change_warnings = 0,
      .through = ReportPlace{.change = {.commit = {std::string("\0b", 2), "b"}, .ordinal = 3}, .report = 1}};
  {
    auto state = open();
    state->set_phase(TaskPhase::kChanges);
    state->note_row_counts(table, one);
    state->intend({.table = {"public", "other"},
                   .phase = ObjectPhase::kChanges,
                   .load_epoch = 0,
                   .key = "k",
                   .first = {},
                   .last = {},
                   .rows = 1,
                   .done = false});
  }
  EXPECT_TRUE(open()->row_counts().empty());
  {
    auto state = open();
    state->note_row_counts(table, one);
    state->intend(change_object("k", "c"));
  }
  EXPECT_EQ(open()->row_counts().at(table).change_errors, 1);
  EXPECT_EQ(open()->row_counts().at(table).through, one.through);
  {
    auto state = open();
    one.change_errors = 2;
    state->note_row_counts(table, one);
    state->set_checkpoint({});
  }
  EXPECT_EQ(open()->row_counts().at(table).change_errors, 2);
}

TEST_F(TaskStateTest, CountsOfChangesAreStoredWithTheCheckpointAndGoWithARestart) {
  model::TableName source{"public", "t"};
  ChangeCounts counts{.inserts = 1, .updates = 2, .deletes = 3, .ddls = 4};
  {
    auto state = open();
    state->set_phase(TaskPhase::kChanges);
    state->set_checkpoint({.identity = {"here"}, .resume_position = {"a", "a"}, .applied_through = {}},
                          {.counts = {{source, counts}},
                           .counted_through = {std::string("\0b", 2), "b"},
                           .tables = {{.source = source, .target = source, .last_shape = "{}"}}});
    state->set_checkpoint({.identity = {"here"}, .resume_position = {"b", "b"}, .applied_through = {}});
  }
  EXPECT_EQ(open()->change_counts().at(source), counts);
  EXPECT_EQ(open()->changes_counted_through().key(), std::string("\0b", 2));
  EXPECT_EQ(open()->tables().at(0).last_shape, "{}");
  auto state = open(Existing::kRestart);
  EXPECT_TRUE(state->change_counts().empty());
  EXPECT_TRUE(state->changes_counted_through().empty());
}

TEST_F(TaskStateTest, AStateOfVersion1IsTakenOver) {
  std::filesystem::create_directories(folder_);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((folder_ / "state.db").c_str(), &database), SQLITE_OK);
  // As version 1 made it.
  const char* made = R"(
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tables (
  source_schema TEXT NOT NULL, source_table TEXT NOT NULL,
  target_schema TEXT NOT NULL, target_table TEXT NOT NULL,
  phase INTEGER NOT NULL, load_epoch INTEGER NOT NULL, mark TEXT NOT NULL, rows_loaded INTEGER NOT NULL,
  error TEXT NOT NULL, PRIMARY KEY (source_schema, source_table)) WITHOUT ROWID;
INSERT INTO facts VALUES ('version', '1'), ('phase', '2'), ('definition', 'a=1
b=2
');
INSERT INTO tables VALUES ('public', 't', 'public', 't', 2, 3, 'm', 7, '');
)";
  ASSERT_EQ(sqlite3_exec(database, made, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  for (int round = 0; round < 2; ++round) {
    std::vector<TableState> tables = open()->tables();
    ASSERT_EQ(tables.size(), 1U);
    EXPECT_EQ(tables[0].source_number, 0U);
    EXPECT_EQ(tables[0].phase, TablePhase::kLoaded);
    EXPECT_EQ(tables[0].load_epoch, 3U);
    EXPECT_EQ(tables[0].mark, "m");
    EXPECT_EQ(tables[0].rows_loaded, 7);
  }
}

TEST_F(TaskStateTest, AStateOfVersion2IsTakenOver) {
  TableState table{.source = {"public", "t"}, .source_number = 7, .target = {"public", "t"}, .mark = "m"};
  {
    auto state = open();
    state->set_table(table);
    state->set_phase(TaskPhase::kChanges);
  }
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((folder_ / "state.db").c_str(), &database), SQLITE_OK);
  // What versions 3 and 4 added.
  const char* back =
      "ALTER TABLE tables DROP COLUMN shape; ALTER TABLE tables DROP COLUMN last_shape; "
      "UPDATE facts SET value = '2' WHERE name = 'version'";
  ASSERT_EQ(sqlite3_exec(database, back, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  {
    auto state = open();
    ASSERT_EQ(state->tables().size(), 1U);
    EXPECT_EQ(state->tables()[0].mark, "m");
    EXPECT_EQ(state->tables()[0].shape, "");
    table.shape = "{}";
    table.last_shape = "{\"columns\":[]}";
    state->set_table(table);
  }
  EXPECT_EQ(open()->tables().at(0).shape, "{}");
  EXPECT_EQ(open()->tables().at(0).last_shape, table.last_shape);
}

TEST_F(TaskStateTest, ADamagedFileIsNamed) {
  std::filesystem::create_directories(folder_);
  FILE* file = std::fopen((folder_ / "state.db").c_str(), "w");
  std::fputs("this is no database, and long enough to be seen as none: ..................................",
             file);
  std::fclose(file);
  try {
    open();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kStateUnusable);
    EXPECT_NE(error.remedy().find("begin anew"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace ferry::engine
