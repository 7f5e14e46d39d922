#include "engine/task_state.h"

#include <gtest/gtest.h>
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
  TaskStateTest() : folder_(std::filesystem::temp_directory_path() / ("ferry-state-" + std::to_string(::getpid()))) {
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
    state->set_phase(TaskPhase::kChanges);
  }
  EXPECT_EQ(open_at("file:///a")->objects({"public", "t"}).size(), 1U);
  EXPECT_TRUE(open_at("file:///b")->objects({"public", "t"}).empty());
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
  auto objects = state->objects({"public", "t"});
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_TRUE(objects[0].last.commit.empty()) << "positions of the old stream mean nothing in the new one";
  EXPECT_TRUE(objects[0].done);
}

TEST_F(TaskStateTest, ForgetsLoadsOfEarlierEpochs) {
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
  state->forget_loads({"public", "t"}, 2);
  auto objects = state->objects({"public", "t"});
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_EQ(objects[0].key, "LOAD2");
}

TEST_F(TaskStateTest, ADamagedFileIsNamed) {
  std::filesystem::create_directories(folder_);
  FILE* file = std::fopen((folder_ / "state.db").c_str(), "w");
  std::fputs("this is no database, and long enough to be seen as none: ..................................", file);
  std::fclose(file);
  EXPECT_EQ(kind_of([&] { open(); }), ErrorKind::kStateUnusable);
}

}  // namespace
}  // namespace ferry::engine
