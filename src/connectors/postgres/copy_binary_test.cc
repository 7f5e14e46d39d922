#include "connectors/postgres/copy_binary.h"

#include <arrow/api.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

// The bytes are PostgreSQL 15's: COPY v TO STDOUT (FORMAT binary) of
//   CREATE TABLE v (n numeric(12,2), u numeric, m money, d date, ts timestamp, tt timetz, uu uuid, j jsonb, b
//   bytea, bo bool)
// with the rows
//   (-123456.7, 'NaN', '-$1,234.56', '4713-01-01 BC', '294276-12-31 23:59:59.999999', '12:34:56.789+05:30',
//    'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"b":1}', '\x00ff', true)
//   (0.01, 0.611111104488373, '0.05', 'infinity', '-infinity', '24:00:00+00', NULL, NULL, '', false)
namespace ferry::postgres {
namespace {

using model::TypeId;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

const std::string kFirst = bytes_of(
    "5047434f50590aff0d0a000000000000000000000a0000000e0003000140000002000c0d801b580000000800000000c000000000"
    "000008ffff"
    "fffffffe1dc000000004ffda97cd000000087fffff5bb3b29fff0000000c0000000a8be62608ffffb2a800000010a0eebc999c0b"
    "4ef8bb6d6b"
    "b9bd380a1100000009017b2262223a20317d0000000200ff0000000101");
const std::string kSecond = bytes_of(
    "000a0000000a0001ffff000000020064000000100004ffff0000000f17df045611880e9200000008000000000000000500000004"
    "7fffffff00"
    "00000880000000000000000000000c000000141dd7600000000000ffffffffffffffff000000000000000100");
const std::string kEnd = bytes_of("ffff");

CopyBinaryReader reader() {
  auto table = std::make_shared<model::TableVersion>();
  std::vector<ColumnCodec> codecs;
  auto add = [&](const char* name, model::LogicalType type, ColumnCodec codec) {
    model::Column column;
    column.name = name;
    column.type = type;
    table->columns.push_back(column);
    codecs.push_back(codec);
  };
  add("n", {.id = TypeId::kNumeric, .precision = 12, .scale = 2}, {.codec = Codec::kNumeric, .scale = 2});
  add("u", {TypeId::kNumeric}, {.codec = Codec::kNumericText});
  add("m", {.id = TypeId::kNumeric, .precision = 38, .scale = 4}, {.codec = Codec::kMoney, .scale = 4});
  add("d", {TypeId::kDate}, {.codec = Codec::kDate});
  add("ts", {TypeId::kDatetime}, {.codec = Codec::kTimestamp});
  add("tt", {TypeId::kTime}, {.codec = Codec::kTimeTz});
  add("uu", {TypeId::kString}, {.codec = Codec::kUuid});
  add("j", {TypeId::kNclob}, {.codec = Codec::kJsonb});
  add("b", {TypeId::kBlob}, {.codec = Codec::kBytea});
  add("bo", {TypeId::kString}, {.codec = Codec::kBoolText});
  return {table, codecs};
}

TEST(CopyBinaryTest, ReadsEveryFamily) {
  CopyBinaryReader in = reader();
  in.add(kFirst);
  in.add(kSecond);
  EXPECT_FALSE(in.finished());
  in.add(kEnd);
  EXPECT_TRUE(in.finished());
  EXPECT_EQ(in.rows(), 2);
  model::RecordBatch batch = in.take();
  ASSERT_TRUE(batch.rows->ValidateFull().ok());

  auto text = [&](int column, int row) {
    return batch.rows->column(column)->GetScalar(row).ValueOrDie()->ToString();
  };
  EXPECT_EQ(text(0, 0), "-123456.70");
  EXPECT_EQ(text(0, 1), "0.01");
  EXPECT_EQ(text(1, 1), "0.611111104488373");
  EXPECT_EQ(text(2, 0), "-1234.5600");
  EXPECT_EQ(text(6, 0), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
  EXPECT_EQ(text(6, 1), "null");
  EXPECT_EQ(text(7, 0), "{\"b\": 1}");
  EXPECT_EQ(text(9, 0), "true");
  EXPECT_EQ(text(9, 1), "false");

  ASSERT_EQ(batch.out_of_domain.size(), 5U);
  EXPECT_EQ(batch.out_of_domain[0].text, "NaN");
  EXPECT_EQ(batch.out_of_domain[1].text, "294276-12-31 23:59:59.999999");
  EXPECT_EQ(batch.out_of_domain[2].text, "infinity");
  EXPECT_EQ(batch.out_of_domain[3].text, "-infinity");
  EXPECT_EQ(batch.out_of_domain[4].text, "24:00:00+00");
  EXPECT_EQ(batch.out_of_domain[4].row, 1);
  EXPECT_EQ(batch.out_of_domain[4].column, 5U);
}

TEST(CopyBinaryTest, StartsEachBatchAnew) {
  CopyBinaryReader in = reader();
  in.add(kFirst);
  model::RecordBatch first = in.take();
  for (int i = 0; i < 5000; ++i) in.add(kSecond);
  model::RecordBatch second = in.take();
  EXPECT_EQ(first.rows->num_rows(), 1);
  EXPECT_EQ(second.rows->num_rows(), 5000);
  ASSERT_TRUE(first.rows->ValidateFull().ok());
  ASSERT_TRUE(second.rows->ValidateFull().ok());
  EXPECT_EQ(second.rows->column(6)->null_count(), 5000);
  EXPECT_EQ(second.rows->column(0)->null_count(), 0);
  EXPECT_EQ(in.take().rows->num_rows(), 0);
}

TEST(CopyBinaryTest, RefusesCutAndForeignBytes) {
  for (std::size_t size = 1; size < kFirst.size(); ++size) {
    // The header alone is a stream without rows yet.
    if (size == 19) continue;
    EXPECT_THROW(reader().add(std::string_view(kFirst).substr(0, size)), base::Error) << size;
  }
  EXPECT_THROW(reader().add(kSecond), base::Error);
  CopyBinaryReader in = reader();
  in.add(kFirst + kEnd);
  EXPECT_THROW(in.add(kSecond), base::Error);
}

}  // namespace
}  // namespace ferry::postgres
