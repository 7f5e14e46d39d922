#include "connectors/s3/object_names.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace ferry::s3 {
namespace {

// 2024-02-29 23:59:59.123456 UTC.
constexpr base::UnixMicros kLeapDay = 1709251199123456;

TEST(ObjectNames, LoadNamesAreEightUpperCaseHexDigits) {
  EXPECT_EQ(load_name(1, "csv"), "LOAD00000001.csv");
  EXPECT_EQ(load_name(10, "csv.gz"), "LOAD0000000A.csv.gz");
  EXPECT_EQ(load_name(0xABCDEF01, "parquet"), "LOADABCDEF01.parquet");
}

TEST(ObjectNames, ChangeNamesSayTheirTime) {
  EXPECT_EQ(change_name(kLeapDay, "parquet"), "20240229-235959123.parquet");
  EXPECT_EQ(time_of_change_name("20240229-235959123.csv.gz"), kLeapDay / 1000 * 1000);
  EXPECT_EQ(time_of_change_name("LOAD00000001.csv"), std::nullopt);
  EXPECT_EQ(time_of_change_name("20240229-23595912.csv"), std::nullopt);
}

TEST(ObjectNames, KnowsDmsForms) {
  for (std::string key : {"LOAD00000001.csv", "LOAD0000000A.parquet", "20240229-235959123.csv.gz",
                          "2024/02/29/20240229-235959123.csv", "20240229/20240229-235959123.parquet"}) {
    EXPECT_TRUE(has_dms_form(key)) << key;
  }
  for (std::string key :
       {"LOAD1.csv", "LOAD0000000a.csv", "load00000001.csv", "notes.txt", "LOAD00000001.csv.bak",
        "backup/20240229-235959123.csv", "2024/02/29/LOAD00000001.csv", "20240229-2359591234.csv",
        ".ferry-1-2.partial", "_SUCCESS"}) {
    EXPECT_FALSE(has_dms_form(key)) << key;
  }
}

TEST(ObjectNames, RefusesTablesThatNoFolderCanBeNamedAfter) {
  EXPECT_EQ(table_prefix("raw/", {"s", "My Table"}), "raw/s/My Table/");
  for (std::string name : {"a/b", "a\\b", "..", ".", ""}) {
    EXPECT_THROW(table_prefix("", {"public", name}), base::Error) << name;
    EXPECT_THROW(table_prefix("", {name, "t"}), base::Error) << name;
  }
}

TEST(ObjectNames, OfTransactionsSayTheirTime) {
  constexpr base::UnixMicros kTime = 1'605'585'046'033'000;  // 2020-11-17 03:50:46.033 UTC.
  EXPECT_EQ(transactions_name(kTime, "csv"), "CDC_TXN-20201117035046033.csv");
  EXPECT_EQ(time_of_transactions_name("CDC_TXN-20201117035046033.csv.gz"), kTime);
  EXPECT_EQ(time_of_transactions_name("20201117-035046033.csv"), std::nullopt);
  EXPECT_TRUE(has_dms_form("CDC_TXN-20201117035046033.csv"));
  EXPECT_FALSE(has_dms_form("2020/CDC_TXN-20201117035046033.csv"));
  EXPECT_FALSE(has_dms_form("CDC_TXN-2020111703504603.csv"));
}

TEST(ObjectNames, GoOnByAMillisecondWhereTheClockDoesNot) {
  EXPECT_EQ(next_name_time(1'000'001, 0), 1'001'000);
  EXPECT_EQ(next_name_time(1'000'000, 0), 1'000'000);
  EXPECT_EQ(next_name_time(1'000'000, 1'000'000), 1'001'000);
  EXPECT_EQ(next_name_time(1'000'000, 5'000'000), 5'001'000);
}

}  // namespace
}  // namespace ferry::s3
