// The main() of server tests that run on every major of PostgreSQL. With `--server-major=N` first, only the
// tests of that major run: those named …/postgres_N. Exit code 77, which ctest calls skipped, says that N is
// not installed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "tests/support/postgres_server.h"

namespace {

constexpr int kSkipped = 77;
constexpr std::string_view kMajorFlag = "--server-major=";

// A test that belongs to no major would never run, because each entry of ctest asks for one.
bool every_test_names_its_major() {
  const testing::UnitTest& unit = *testing::UnitTest::GetInstance();
  for (int i = 0; i < unit.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *unit.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const std::string name = suite.GetTestInfo(j)->name();
      if (name.find("postgres_") != std::string::npos) continue;
      std::cerr << suite.name() << "." << name
                << " runs on no major: instantiate it for installed_majors()\n";
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1 && std::string_view(argv[1]).starts_with(kMajorFlag)) {
    const int major = std::atoi(argv[1] + kMajorFlag.size());
    if (!ferry::test_support::PostgresServer::bin_directory(major)) {
      std::cout << "PostgreSQL " << major << " is not installed\n";
      return kSkipped;
    }
    if (!every_test_names_its_major()) return EXIT_FAILURE;
    std::string wanted = GTEST_FLAG_GET(filter);
    if (wanted.find("postgres_" + std::to_string(major)) == std::string::npos) {
      std::cerr << "the filter " << wanted << " does not name PostgreSQL " << major << "\n";
      return EXIT_FAILURE;
    }
  }
  return RUN_ALL_TESTS();
}
