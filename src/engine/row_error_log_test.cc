#include "engine/row_error_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/task_state.h"

namespace ferry::engine {
namespace {

TEST(RowErrorLog, ARowIsOneLineWhateverItsKeyHolds) {
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("ferry-row-errors-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::unique_ptr<TaskState> state = TaskState::open(folder, "a=1\n");
  RowErrorLog log(*state, folder / "row_errors", {});
  log.of_loads().row_error(
      {.table = {"public", "t"}, .key = "id=a\nb\tc\\d\re", .column = "n", .reason = "no such number"});

  std::ifstream file(folder / "row_errors");
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\t'), 4);
  EXPECT_NE(line.find("\tid=a\\nb\\tc\\\\d\\re\t"), std::string::npos) << line;
  EXPECT_FALSE(std::getline(file, line));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ferry::engine
