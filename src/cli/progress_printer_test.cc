#include "cli/progress_printer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::internal::CaptureStdout;
using testing::internal::GetCapturedStdout;

constexpr std::chrono::seconds kAlways{0};
constexpr std::chrono::seconds kNever = std::chrono::hours(1);

std::string lines_of_a_load(std::chrono::seconds interval, std::int64_t rows_estimate) {
  model::TableVersion table;
  table.name = {.schema = "public", .table = "t"};
  ProgressPrinter printer(ProgressPrinter::Numerics::kAsTheyAre, "task.log", interval);
  CaptureStdout();
  printer.table_load_started(table, rows_estimate);
  printer.table_rows_loaded(table.name, 1000);
  printer.table_rows_loaded(table.name, 2500);
  return GetCapturedStdout();
}

TEST(ProgressPrinter, ALongLoadIsHeardOf) {
  std::string lines = lines_of_a_load(kAlways, 4000);
  EXPECT_THAT(lines, HasSubstr("1,000 rows of about 4,000\n"));
  EXPECT_THAT(lines, HasSubstr("2,500 rows of about 4,000\n"));
  EXPECT_THAT(lines_of_a_load(kAlways, -1), HasSubstr("2,500 rows\n"));
}

TEST(ProgressPrinter, AShortLoadIsOneLineAtItsEnd) { EXPECT_THAT(lines_of_a_load(kNever, 4000), IsEmpty()); }

TEST(ProgressPrinter, TheSummaryNamesTheLog) {
  ProgressPrinter printer(ProgressPrinter::Numerics::kAsTheyAre, "/state/task.log");
  engine::TaskResult result;
  result.data_warnings = 1234;
  CaptureStdout();
  printer.print_summary(result);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("1,234 values were carried over in another form or cut short; "
                                             "/state/task.log says which."));
}

}  // namespace
}  // namespace ferry::cli
