#include "model/table_version.h"

#include <gtest/gtest.h>

namespace ferry::model {
namespace {

TEST(TableVersion, NewStatisticsAreNoNewShape) {
  TableVersion before;
  before.columns.resize(1);
  before.columns[0].name = "id";
  TableVersion after = before;
  after.columns[0].distinct_share = 0.5;
  EXPECT_EQ(before, after);
  after.columns[0].type.length = 7;
  EXPECT_NE(before, after);
}

}  // namespace
}  // namespace ferry::model
