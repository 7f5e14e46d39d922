#include "connectors/postgres/errors.h"

#include <gtest/gtest.h>

namespace ferry::postgres {
namespace {

using base::ErrorKind;

TEST(ErrorsTest, TellsCausesApartBySqlstate) {
  struct {
    const char* sqlstate;
    Concern concern;
    ErrorKind kind;
  } const cases[] = {
      {"28P01", Concern::kWork, ErrorKind::kSourceAuthentication},
      {"28000", Concern::kWork, ErrorKind::kSourceAuthentication},
      {"42501", Concern::kWork, ErrorKind::kSourcePrivilege},
      {"42501", Concern::kTable, ErrorKind::kSourceTable},
      {"42P01", Concern::kTable, ErrorKind::kSourceTable},
      {"55P03", Concern::kTable, ErrorKind::kSourceTable},
      {"55006", Concern::kWork, ErrorKind::kSourceSlotInUse},
      {"53400", Concern::kWork, ErrorKind::kSourceNoSlot},
      {"57P01", Concern::kTable, ErrorKind::kSourceConnectionLost},
      {"57014", Concern::kWork, ErrorKind::kSourceTimeout},
      {"58P01", Concern::kWork, ErrorKind::kSourceSlotLost},
      {"", Concern::kTable, ErrorKind::kSourceConnectionLost},
  };
  for (const auto& each : cases) {
    auto error = statement_error({.sqlstate = each.sqlstate, .message = "no"}, "do it", each.concern);
    EXPECT_EQ(error.kind(), each.kind) << each.sqlstate;
    EXPECT_EQ(error.message(), "cannot do it: no");
  }
}

// As libpq 15 reports them with PQERRORS_VERBOSE.
TEST(ErrorsTest, TellsWhyAConnectionFailed) {
  auto kind = [](std::string_view text) { return connect_error(text, "here").kind(); };
  EXPECT_EQ(kind("connection to server at \"127.0.0.1\", port 5 failed: FATAL:  28P01: password "
                 "authentication failed for "
                 "user \"x\"\nLOCATION:  auth_failed, auth.c:346\n"),
            ErrorKind::kSourceAuthentication);
  EXPECT_EQ(kind("connection to server at \"h\" (10.0.0.1), port 5 failed: FATAL:  28000: no pg_hba.conf "
                 "entry for host "
                 "\"10.0.0.2\", user \"x\", database \"d\", no encryption\n"),
            ErrorKind::kSourceAuthentication);
  EXPECT_EQ(kind("… failed: FATAL:  53300: number of requested standby connections exceeds max_wal_senders"),
            ErrorKind::kSourceUnreachable)
      << "a place may come free";
  EXPECT_EQ(kind("… failed: ФАТАЛЬНО:  53300: извините"), ErrorKind::kSourceUnreachable);
  EXPECT_EQ(kind("… failed: server does not support SSL, but SSL was required\n"), ErrorKind::kSourceTls);
  EXPECT_EQ(kind("… failed: SSL error: certificate verify failed\n"), ErrorKind::kSourceTls);
  EXPECT_EQ(kind("connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n\tIs the server "
                 "running on that "
                 "host and accepting TCP/IP connections?\n"),
            ErrorKind::kSourceUnreachable);
  EXPECT_EQ(kind("could not translate host name \"nowhere\" to address: Name or service not known\n"),
            ErrorKind::kSourceUnreachable);
}

TEST(ErrorsTest, LeavesDetailOut) {
  auto error = connect_error(
      "failed: FATAL:  3D000: database \"x\" does not exist\nDETAIL:  secret\nLOCATION:  a, b.c:1\n", "here");
  EXPECT_EQ(std::string(error.what()),
            "cannot connect to here: failed: FATAL:  database \"x\" does not exist (3D000). "
            "Check the endpoint's database name.");
}

TEST(ErrorsTest, SaysWhatWasSaidInOneLine) {
  struct {
    const char* said;
    const char* told;
  } const cases[] = {
      {"connection to server at \"h\" (::1), port 5 failed: Connection refused\n"
       "\tIs the server running on that host and accepting TCP/IP connections?\n"
       "connection to server at \"h\" (127.0.0.1), port 5 failed: Connection refused\n"
       "\tIs the server running on that host and accepting TCP/IP connections?\n",
       "connection to server at \"h\" (::1), port 5 failed: Connection refused; "
       "connection to server at \"h\" (127.0.0.1), port 5 failed: Connection refused"},
      {"server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n"
       "\tbefore or while processing the request.\n",
       "server closed the connection unexpectedly This probably means the server terminated abnormally "
       "before or "
       "while processing the request"},
      {"FATAL:  too many\nDETAIL:  secret one\nsecret two\n\tsecret three\nHINT:  Do it.\nLOCATION:  a, "
       "b.c:1\n"
       "connection to server at \"h\" (10.0.0.1), port 5 failed: timeout expired.\n",
       "FATAL:  too many; connection to server at \"h\" (10.0.0.1), port 5 failed: timeout expired"},
      {"no answer.\r\n\n", "no answer"},
      {"", ""},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(connect_error(each.said, "here").message(),
              std::string("cannot connect to here: ") + each.told);
    EXPECT_EQ(statement_error({.sqlstate = "", .message = each.said}, "do it", Concern::kWork).message(),
              std::string("cannot do it: ") + each.told);
  }
}

}  // namespace
}  // namespace ferry::postgres
