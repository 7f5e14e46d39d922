#include "cli/state_folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

namespace ferry::cli {
namespace {

TEST(StateFolder, WhatTheTaskDidNotMakeStays) {
  std::string name = std::filesystem::temp_directory_path() / "ferry-state-XXXXXX";
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  std::filesystem::path folder = name;
  auto make_state = [&] {
    for (const char* kept : {"logs", "spill", "looked_up"})
      std::filesystem::create_directories(folder / kept);
    for (const char* file : {"state.db", "lock", "row_errors", "logs/task.log", "looked_up/1"})
      std::ofstream(folder / file) << "x";
  };
  make_state();
  std::ofstream(folder / "rows.csv") << "x";
  remove_state(folder);
  ASSERT_TRUE(std::filesystem::exists(folder / "rows.csv"));
  auto left = std::filesystem::directory_iterator(folder);
  EXPECT_EQ(std::distance(begin(left), end(left)), 1);

  std::filesystem::remove(folder / "rows.csv");
  make_state();
  remove_state(folder);
  EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace ferry::cli
