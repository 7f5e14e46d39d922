#include "connectors/s3/date_partition.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ferry::s3 {
namespace {

constexpr base::UnixMicros kEvening = 1'675'184'700'000'000;  // 2023-01-31 17:05 UTC.

TEST(DatePartition, WritesEverySequenceWithEveryDelimiter) {
  struct Expected {
    const char* sequence;
    const char* slash;
    const char* dash;
    const char* underscore;
    const char* none;
  };
  for (const Expected& each : {
           Expected{"YYYYMMDD", "2023/01/31/", "2023-01-31/", "2023_01_31/", "20230131/"},
           Expected{"YYYYMMDDHH", "2023/01/31/17/", "2023-01-31-17/", "2023_01_31_17/", "2023013117/"},
           Expected{"YYYYMM", "2023/01/", "2023-01/", "2023_01/", "202301/"},
           Expected{"MMYYYYDD", "01/2023/31/", "01-2023-31/", "01_2023_31/", "01202331/"},
           Expected{"DDMMYYYY", "31/01/2023/", "31-01-2023/", "31_01_2023/", "31012023/"},
       }) {
    EXPECT_EQ(DatePartition(each.sequence, "SLASH", "UTC").folder(kEvening), each.slash);
    EXPECT_EQ(DatePartition(each.sequence, "DASH", "UTC").folder(kEvening), each.dash);
    EXPECT_EQ(DatePartition(each.sequence, "UNDERSCORE", "UTC").folder(kEvening), each.underscore);
    EXPECT_EQ(DatePartition(each.sequence, "NONE", "UTC").folder(kEvening), each.none);
  }
}

TEST(DatePartition, ReadsTheClockOfItsZone) {
  constexpr base::UnixMicros kHour = 3'600'000'000;
  DatePartition seoul("YYYYMMDDHH", "DASH", "Asia/Seoul");
  EXPECT_EQ(seoul.local(kEvening), kEvening + 9 * kHour);
  EXPECT_EQ(seoul.folder(seoul.local(kEvening)), "2023-02-01-02/");
  DatePartition before_1970("YYYYMMDD", "NONE", "UTC");
  EXPECT_EQ(before_1970.folder(-1), "19691231/");

  // The hour from 2 to 3 comes twice.
  DatePartition berlin("YYYYMMDDHH", "DASH", "Europe/Berlin");
  constexpr base::UnixMicros kSummersEnd = 1'698'541'200'000'000;  // 2023-10-29 01:00 UTC.
  EXPECT_EQ(berlin.local(kSummersEnd - 1), kSummersEnd + 2 * kHour - 1);
  EXPECT_EQ(berlin.local(kSummersEnd), kSummersEnd + kHour);
}

TEST(DatePartition, RefusesAZoneThatIsNone) {
  try {
    DatePartition("YYYYMMDD", "SLASH", "Asia/Nowhere");
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kDocumentInvalid);
  }
}

}  // namespace
}  // namespace ferry::s3
