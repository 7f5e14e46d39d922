#include "engine/cdc/known_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "engine/table_shape_text.h"

namespace ferry::engine {
namespace {

class KnownShapesTest : public ::testing::Test {
 protected:
  KnownShapesTest() : folder_(::testing::TempDir() + "known_shapes_test") {
    std::filesystem::remove_all(folder_);
    state_ = TaskState::open(folder_, "");
  }
  ~KnownShapesTest() override {
    state_.reset();
    std::filesystem::remove_all(folder_);
  }

  TableState put(const char* name, std::uint64_t number, TablePhase phase = TablePhase::kLoaded) {
    model::TableVersion version;
    version.name = {"s", "as it was once"};
    version.columns = {{.name = "a"}};
    version.key = {0};
    version.identity = model::RowIdentity::kKey;
    TableState table{.source = {"s", name},
                     .source_number = number,
                     .target = {"s", name},
                     .phase = phase,
                     .last_shape = shape_text(version)};
    state_->set_table(table);
    return table;
  }

  std::map<std::string, std::uint64_t> known() {
    std::map<std::string, std::uint64_t> names;
    for (const model::TableVersionPtr& shape : known_shapes(*state_)) {
      EXPECT_THAT(shape->key, ::testing::ElementsAre(0));
      names[shape->name.table] = shape->source_table;
    }
    return names;
  }

  using Names = std::map<std::string, std::uint64_t>;

  std::filesystem::path folder_;
  std::unique_ptr<TaskState> state_;
};

TEST_F(KnownShapesTest, HaveTheNameAndNumberOfTheirTable) {
  put("t", 1);
  put("u", 2, TablePhase::kQueued);
  put("dropped, and its changes may come again", 3, TablePhase::kDropped);
  put("left the task", 4, TablePhase::kLeft);
  EXPECT_EQ(known(), (Names{{"t", 1}, {"u", 2}, {"dropped, and its changes may come again", 3}}));
}

TEST_F(KnownShapesTest, LeaveOutWhatNobodyCanDecide) {
  put("t", 1);
  put("u", 1);  // A table under two names.
  put("v", 2);
  put("v", 3);  // Two tables under one.
  put("w", 0);
  put("k", 4);
  TableState old = put("o", 5);
  old.last_shape = R"({"schema":"s","table":"o","columns":[],"key":[]})";  // Of an older version.
  state_->set_table(old);
  EXPECT_EQ(known(), (Names{{"k", 4}}));
}

TEST_F(KnownShapesTest, AreTakenFromRivals) {
  put("t", 1);
  put("u", 2);
  put("w", 3);
  TableState u = put("u", 1);  // t is called u now, as another table was.
  take_from_rivals(*state_, u);
  EXPECT_EQ(known(), (Names{{"u", 1}, {"w", 3}}));
}

}  // namespace
}  // namespace ferry::engine
