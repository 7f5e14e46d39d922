#include "formats/parquet/parquet_writer.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <gtest/gtest.h>
#include <parquet/arrow/reader.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/schema.h>
#include <parquet/statistics.h>

#include <array>
#include <fstream>
#include <map>
#include <utility>

#include "base/error.h"
#include "formats/parquet/parquet_schema.h"
#include "formats/test_rows.h"

namespace ferry::formats {
namespace {

using model::TypeId;

std::shared_ptr<arrow::io::RandomAccessFile> opened(const std::string& file) {
  return std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString(file));
}

std::shared_ptr<parquet::FileMetaData> footer_of(const std::string& file) {
  return parquet::ParquetFileReader::Open(opened(file))->metadata();
}

std::shared_ptr<arrow::Table> contents_of(const std::string& file) {
  auto reader = *parquet::arrow::OpenFile(opened(file), arrow::default_memory_pool());
  return *(*reader->ReadTable())->CombineChunks();
}

struct Written {
  std::string file;
  CollectedErrors errors;
};

Written load(const TestTable& table, const ParquetOptions& options = {}, ObjectShape shape = {nullptr}) {
  StringSink sink;
  Written written;
  shape.table = table.version;
  auto writer = make_parquet_writer(sink, shape, options);
  write_as_load(*writer, table, written.errors, 5);
  written.file = std::move(sink.text);
  return written;
}

Written changes(const TestTable& table, const ParquetOptions& options = {}, ObjectShape shape = {nullptr},
                char op = 'I') {
  StringSink sink;
  Written written;
  shape.table = table.version;
  auto writer = make_parquet_writer(sink, shape, options);
  write_as_changes(*writer, table, written.errors, 5, op);
  written.file = std::move(sink.text);
  return written;
}

std::string or_dash(bool known, int value) { return known ? std::to_string(value) : "-"; }

// As tests/data/dms_footer.txt has a column, without the source's type.
std::string facts_of(const parquet::ColumnDescriptor& column) {
  bool decimal = column.converted_type() == parquet::ConvertedType::DECIMAL;
  std::string converted = parquet::ConvertedTypeToString(column.converted_type());
  return column.name() + (column.max_definition_level() == 0 ? " required " : " optional ") +
         parquet::TypeToString(column.physical_type()) + " " + (converted == "NONE" ? "-" : converted) + " " +
         or_dash(decimal, column.type_precision()) + " " + or_dash(decimal, column.type_scale()) + " " +
         or_dash(column.physical_type() == parquet::Type::FIXED_LEN_BYTE_ARRAY, column.type_length());
}

std::vector<std::string> facts_of(const parquet::FileMetaData& footer) {
  std::vector<std::string> facts;
  for (int i = 0; i < footer.num_columns(); ++i) facts.push_back(facts_of(*footer.schema()->Column(i)));
  return facts;
}

TestTable employees_of(std::int32_t count, std::size_t name_size = 5) {
  std::vector<TestRow> rows;
  for (std::int32_t i = 0; i < count; ++i) rows.push_back({cell(i), std::string(name_size, 'x'), {}});
  return employees(std::move(rows));
}

// What a real object of AWS DMS says of itself.
struct DmsFooter {
  std::map<std::string, std::string> facts;
  std::vector<std::string> columns;
  std::vector<std::pair<std::string, std::string>>
      table;  // Name and DMS type; no type = the timestamp column.
};

DmsFooter read_dms_footer() {
  std::ifstream file(std::string(FERRY_TEST_DATA) + "/dms_footer.txt");
  EXPECT_TRUE(file.is_open());
  DmsFooter footer;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::string key = line.substr(0, line.find(' '));
    std::string value = line.substr(key.size() + 1);
    if (key != "column") {
      footer.facts[key] = value;
      continue;
    }
    std::size_t type_at = value.rfind(' ');
    footer.columns.push_back(value.substr(0, type_at));
    footer.table.emplace_back(value.substr(0, value.find(' ')), value.substr(type_at + 1));
  }
  return footer;
}

model::LogicalType type_named(const std::string& name) {
  for (model::LogicalType type : {model::LogicalType{.id = TypeId::kInt8},
                                  {.id = TypeId::kInt4},
                                  {.id = TypeId::kInt2},
                                  {.id = TypeId::kNumeric, .precision = 15, .scale = 2},
                                  {.id = TypeId::kReal4},
                                  {.id = TypeId::kReal8},
                                  {.id = TypeId::kNumeric, .precision = 38, .scale = 4},
                                  {.id = TypeId::kWstring},
                                  {.id = TypeId::kNclob},
                                  {.id = TypeId::kBlob},
                                  {.id = TypeId::kDatetime, .scale = 6},
                                  {.id = TypeId::kString},
                                  {.id = TypeId::kBoolean}}) {
    if (to_string(type) == name) return type;
  }
  ADD_FAILURE() << "no such type: " << name;
  return {};
}

TEST(ParquetWriter, Case24FooterEqualsThatOfARealDmsObject) {
  DmsFooter dms = read_dms_footer();
  std::vector<model::Column> columns;
  std::string timestamp_column;
  for (const auto& [name, type] : dms.table) {
    if (type == "-") {
      timestamp_column = name;
    } else {
      columns.push_back(column(name, type_named(type)));
    }
  }
  TestTable table = make_table(columns, {TestRow(columns.size())});
  ParquetOptions options{.version = ParquetOptions::Version::k2_0,
                         .encoding = ParquetOptions::Encoding::kPlain,
                         .timestamp_in_milliseconds = true};
  auto footer = footer_of(load(table, options, {nullptr, false, timestamp_column}).file);

  EXPECT_EQ(facts_of(*footer), dms.columns);
  EXPECT_EQ(footer->version() == parquet::ParquetVersion::PARQUET_1_0 ? "1" : "2", dms.facts["version"]);
  EXPECT_EQ(footer->schema()->schema_root()->name() +
                (footer->schema()->schema_root()->is_required() ? " required" : " not required"),
            dms.facts["root"] + " " + dms.facts["root_repetition"]);
  EXPECT_EQ(footer->key_value_metadata() == nullptr ? "none" : "some", dms.facts["key_value_metadata"]);
  EXPECT_EQ(arrow::util::Codec::GetCodecAsString(footer->RowGroup(0)->ColumnChunk(0)->compression()),
            dms.facts["codec"]);
  // The one difference that is meant.
  EXPECT_EQ(dms.facts["created_by"], "AWS");
  EXPECT_EQ(footer->created_by(), kParquetCreatedBy);
}

TEST(ParquetWriter, EveryTypesPhysicalForm) {
  const auto facts = [](model::LogicalType type, ParquetOptions options = {}) {
    TestTable table = make_table({column("c", type)}, {});
    return facts_of(*footer_of(load(table, options).file)).front();
  };
  ParquetOptions version_2{.version = ParquetOptions::Version::k2_0};
  ParquetOptions millis{.timestamp_in_milliseconds = true};
  EXPECT_EQ(facts({.id = TypeId::kInt1}), "c optional INT32 INT_8 - - -");
  EXPECT_EQ(facts({.id = TypeId::kUint1}), "c optional INT32 UINT_8 - - -");
  EXPECT_EQ(facts({.id = TypeId::kUint2}), "c optional INT32 UINT_16 - - -");
  EXPECT_EQ(facts({.id = TypeId::kUint4}), "c optional INT64 - - - -");
  EXPECT_EQ(facts({.id = TypeId::kUint4}, version_2), "c optional INT32 UINT_32 - - -");
  EXPECT_EQ(facts({.id = TypeId::kUint8}), "c optional INT64 UINT_64 - - -");
  EXPECT_EQ(facts({.id = TypeId::kDate}), "c optional INT32 DATE - - -");
  EXPECT_EQ(facts({.id = TypeId::kTime, .scale = 3}), "c optional INT32 TIME_MILLIS - - -");
  EXPECT_EQ(facts({.id = TypeId::kTime, .scale = 6}), "c optional INT64 TIME_MICROS - - -");
  EXPECT_EQ(facts({.id = TypeId::kTime, .scale = 6}, millis), "c optional INT32 TIME_MILLIS - - -");
  EXPECT_EQ(facts({.id = TypeId::kDatetime, .scale = 6}), "c optional INT64 TIMESTAMP_MICROS - - -");
  EXPECT_EQ(facts({.id = TypeId::kDatetime, .scale = 0}), "c optional INT64 TIMESTAMP_MICROS - - -");
  EXPECT_EQ(facts({.id = TypeId::kDatetime, .scale = 6}, millis), "c optional INT64 TIMESTAMP_MILLIS - - -");
  EXPECT_EQ(facts({.id = TypeId::kNumeric}), "c optional BYTE_ARRAY UTF8 - - -");
  EXPECT_EQ(facts({.id = TypeId::kNumeric, .precision = 3, .scale = 5}), "c optional BYTE_ARRAY UTF8 - - -");
  EXPECT_EQ(facts({.id = TypeId::kClob}), "c optional BYTE_ARRAY UTF8 - - -");
  EXPECT_EQ(facts({.id = TypeId::kBytes}), "c optional BYTE_ARRAY - - - -");

  // Bytes of a DECIMAL for each precision from 1.
  constexpr std::array<int, 38> kBytes = {1,  1,  2,  2,  3,  3,  4,  4,  4,  5,  5,  6,  6,
                                          6,  7,  7,  8,  8,  9,  9,  9,  10, 10, 11, 11, 11,
                                          12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 16, 16};
  for (int precision = 1; precision <= 38; ++precision) {
    std::string p = std::to_string(precision);
    EXPECT_EQ(facts({.id = TypeId::kNumeric, .precision = static_cast<std::int16_t>(precision), .scale = 1}),
              "c optional FIXED_LEN_BYTE_ARRAY DECIMAL " + p + " 1 " +
                  std::to_string(kBytes[static_cast<std::size_t>(precision) - 1]));
  }
}

TEST(ParquetWriter, Case24ADecimalIsBigEndian) {
  TestTable table = make_table({column("n", {.id = TypeId::kNumeric, .precision = 15, .scale = 2})},
                               {{cell(Int128{142'713'184'759})}});
  std::string file = load(table, {.encoding = ParquetOptions::Encoding::kPlain}).file;
  auto reader = parquet::ParquetFileReader::Open(opened(file));
  auto column = reader->RowGroup(0)->Column(0);
  auto& values = static_cast<parquet::FixedLenByteArrayReader&>(*column);
  parquet::FixedLenByteArray value;
  std::int16_t level = 0;
  std::int64_t read = 0;
  values.ReadBatch(1, &level, nullptr, &value, &read);
  ASSERT_EQ(read, 1);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(value.ptr), 7),
            std::string("\x00\x00\x21\x3a\x5e\x61\xf7", 7));
}

TEST(ParquetWriter, Case25VersionEncodingStatisticsRowGroups) {
  TestTable table = employees_of(25'000);
  auto version_1 = footer_of(load(table).file);
  EXPECT_EQ(version_1->version(), parquet::ParquetVersion::PARQUET_1_0);
  ASSERT_EQ(version_1->num_row_groups(), 3);
  EXPECT_EQ(version_1->RowGroup(0)->num_rows(), 10'000);
  EXPECT_EQ(version_1->RowGroup(1)->num_rows(), 10'000);
  EXPECT_EQ(version_1->RowGroup(2)->num_rows(), 5'000);
  EXPECT_TRUE(version_1->RowGroup(0)->ColumnChunk(0)->has_dictionary_page());
  EXPECT_TRUE(version_1->RowGroup(0)->ColumnChunk(0)->is_stats_set());
  EXPECT_EQ(version_1->RowGroup(0)->ColumnChunk(2)->statistics()->null_count(), 10'000);

  auto plain = footer_of(load(table, {.version = ParquetOptions::Version::k2_0,
                                      .encoding = ParquetOptions::Encoding::kPlain,
                                      .statistics = false})
                             .file);
  EXPECT_NE(plain->version(), parquet::ParquetVersion::PARQUET_1_0);
  EXPECT_FALSE(plain->RowGroup(0)->ColumnChunk(0)->has_dictionary_page());
  EXPECT_FALSE(plain->RowGroup(0)->ColumnChunk(0)->is_stats_set());
  EXPECT_FALSE(plain->RowGroup(0)->ColumnChunk(0)->GetColumnIndexLocation().has_value());

  // The same cut when the rows come as changes.
  auto changed = footer_of(changes(table).file);
  ASSERT_EQ(changed->num_row_groups(), 3);
  EXPECT_EQ(changed->RowGroup(2)->num_rows(), 5'000);
}

TEST(ParquetWriter, Case13Codecs) {
  using Codec = ParquetOptions::Codec;
  for (auto [codec, name] : {std::pair{Codec::kGzip, "gzip"},
                             {Codec::kSnappy, "snappy"},
                             {Codec::kZstd, "zstd"},
                             {Codec::kNone, "uncompressed"}}) {
    TestTable table = edge_values();
    std::string file = load(table, {.codec = codec}).file;
    auto footer = footer_of(file);
    auto group = footer->RowGroup(0);
    for (int i = 0; i < group->num_columns(); ++i) {
      EXPECT_EQ(arrow::util::Codec::GetCodecAsString(group->ColumnChunk(i)->compression()), name) << i;
    }
    EXPECT_EQ(contents_of(file)->num_rows(), static_cast<std::int64_t>(table.rows.size()));
  }
}

TEST(ParquetWriter, LoadAndChangesAgreeOnEveryType) {
  TestTable table = edge_values();
  for (bool millis : {false, true}) {
    for (auto version : {ParquetOptions::Version::k1_0, ParquetOptions::Version::k2_0}) {
      ParquetOptions options{.version = version, .timestamp_in_milliseconds = millis};
      ObjectShape shape{nullptr, true, "ts"};
      Written loaded = load(table, options, shape);
      Written changed = changes(table, options, shape);
      EXPECT_TRUE(loaded.errors.errors.empty());
      EXPECT_TRUE(changed.errors.errors.empty());
      EXPECT_EQ(loaded.errors.warnings.size(), changed.errors.warnings.size());
      auto a = contents_of(loaded.file);
      auto b = contents_of(changed.file);
      ASSERT_EQ(a->num_columns(), b->num_columns());
      for (int i = 0; i < a->num_columns(); ++i) {
        EXPECT_TRUE(
            a->column(i)->chunk(0)->Equals(b->column(i)->chunk(0), arrow::EqualOptions().nans_equal(true)))
            << a->field(i)->ToString();
      }
    }
  }
}

// A value of many megabytes takes a way of its own through the encoder.
TEST(ParquetWriter, AHugeValueIsWholeWithEveryCodec) {
  std::string huge;
  for (std::uint32_t i = 0; huge.size() < (std::size_t{4} << 20); ++i)
    huge += std::to_string(i * 2654435761U) + ",";
  std::vector<TestRow> rows = {{cell(std::int32_t{1}), "before", {}},
                               {cell(std::int32_t{2}), huge, {}},
                               {cell(std::int32_t{3}), "after", {}}};
  TestTable table = employees(rows);
  using Codec = ParquetOptions::Codec;
  for (Codec codec : {Codec::kNone, Codec::kSnappy, Codec::kGzip, Codec::kZstd}) {
    for (auto encoding : {ParquetOptions::Encoding::kPlain, ParquetOptions::Encoding::kRleDictionary}) {
      for (const Written& written : {load(table, {.codec = codec, .encoding = encoding}),
                                     changes(table, {.codec = codec, .encoding = encoding})}) {
        auto names =
            std::static_pointer_cast<arrow::StringArray>(contents_of(written.file)->column(1)->chunk(0));
        ASSERT_EQ(names->length(), 3);
        EXPECT_EQ(names->GetView(0), "before");
        EXPECT_TRUE(names->GetView(1) == huge);
        EXPECT_EQ(names->GetView(2), "after");
      }
    }
  }
}

TEST(ParquetWriter, ValuesAreTheSources) {
  TestTable table = edge_values();
  auto read = contents_of(load(table, {.version = ParquetOptions::Version::k2_0}).file);
  auto batch = table.batch();
  int compared = 0;
  for (int i = 0; i < read->num_columns(); ++i) {
    auto expected = batch.rows->column(i);
    // TIME(0) to TIME(3) become milliseconds, a NUMERIC without a DECIMAL text.
    if (!read->column(i)->type()->Equals(expected->type())) continue;
    ++compared;
    EXPECT_TRUE(read->column(i)->chunk(0)->Equals(expected, arrow::EqualOptions().nans_equal(true)))
        << to_string(table.version->columns[static_cast<std::size_t>(i)].type) << "\n"
        << read->column(i)->chunk(0)->ToString() << expected->ToString();
  }
  EXPECT_EQ(compared, read->num_columns() - 6);
}

TEST(ParquetWriter, OpAndTimestampColumnsAreRequired) {
  TestTable table = employees({{cell(std::int32_t{1}), "A", "X"}});
  std::string file = changes(table, {}, {nullptr, true, "ts"}, 'D').file;
  auto facts = facts_of(*footer_of(file));
  EXPECT_EQ(facts[0], "Op required BYTE_ARRAY UTF8 - - -");
  EXPECT_EQ(facts[1], "ts required BYTE_ARRAY UTF8 - - -");
  EXPECT_EQ(facts[2], "id optional INT32 - - - -");
  auto read = contents_of(file);
  EXPECT_EQ(static_cast<const arrow::StringArray&>(*read->column(0)->chunk(0)).GetView(0), "D");
  EXPECT_EQ(static_cast<const arrow::StringArray&>(*read->column(1)->chunk(0)).GetView(0),
            "1970-01-01 00:00:00.000005");
}

TEST(ParquetWriter, RefusesAnOpColumnThatTheTableHas) {
  StringSink sink;
  TestTable table = make_table({column("Op", {.id = TypeId::kInt4})}, {});
  EXPECT_THROW(make_parquet_writer(sink, {table.version, true, ""}, {}), base::Error);
  EXPECT_NO_THROW(make_parquet_writer(sink, {table.version, false, ""}, {}));
}

TestTable odd_values() {
  return make_table(
      {column("id", {.id = TypeId::kInt4}), column("at", {.id = TypeId::kDatetime, .scale = 6}),
       column("time", {.id = TypeId::kTime, .scale = 6}), column("amount", {.id = TypeId::kNumeric})},
      {{cell(std::int32_t{1}), out_of_domain("infinity"), {}, "1.5"},
       {cell(std::int32_t{2}), out_of_domain("-infinity"), out_of_domain("24:00:00"), {}},
       {cell(std::int32_t{3}), cell(std::int64_t{7}), {}, out_of_domain("NaN")},
       {cell(std::int32_t{4}), {}, {}, {}},
       {cell(std::int32_t{5}), out_of_domain("-infinity"), {}, "2"}});
}

TEST(ParquetWriter, ValuesOutOfDomain) {
  for (bool as_load : {true, false}) {
    Written written = as_load ? load(odd_values()) : changes(odd_values());
    auto read = contents_of(written.file);
    ASSERT_EQ(read->num_rows(), 3);
    const auto& ids = static_cast<const arrow::Int32Array&>(*read->column(0)->chunk(0));
    EXPECT_EQ(std::vector<std::int32_t>({ids.Value(0), ids.Value(1), ids.Value(2)}),
              std::vector<std::int32_t>({1, 4, 5}));
    const auto& times = static_cast<const arrow::TimestampArray&>(*read->column(1)->chunk(0));
    EXPECT_EQ(times.Value(0), 253'402'300'799'000'000);
    EXPECT_TRUE(times.IsNull(1));
    EXPECT_EQ(times.Value(2), -210'863'520'000'000'000);
    ASSERT_EQ(written.errors.errors.size(), 2U);
    EXPECT_EQ(written.errors.errors[0].key, "id=2");
    EXPECT_EQ(written.errors.errors[0].column, "time");
    EXPECT_EQ(written.errors.errors[1].key, "id=3");
    EXPECT_EQ(written.errors.errors[1].column, "amount");
    EXPECT_EQ(written.errors.warnings.size(), 2U);
  }
}

TEST(ParquetWriter, ALoadThatBeginsInsideABatch) {
  TestTable table = odd_values();
  model::RecordBatch batch = table.batch();
  StringSink sink;
  CollectedErrors errors;
  auto writer = make_parquet_writer(sink, {table.version}, {});
  EXPECT_EQ(writer->write_rows({.batch = batch, .first = 2}, errors), 5);
  writer->finish();
  EXPECT_EQ(writer->rows(), 2);
  ASSERT_EQ(errors.errors.size(), 1U);
  EXPECT_EQ(errors.errors[0].key, "id=3");
  EXPECT_EQ(static_cast<const arrow::TimestampArray&>(*contents_of(sink.text)->column(1)->chunk(0)).Value(1),
            -210'863'520'000'000'000);
}

TEST(ParquetWriter, AllRowsRefused) {
  TestTable table = make_table({column("d", {.id = TypeId::kDate})}, {{out_of_domain("infinity")}}, {});
  Written written = load(table);
  EXPECT_EQ(written.errors.errors.size(), 1U);
  EXPECT_EQ(footer_of(written.file)->num_rows(), 0);
}

TEST(ParquetWriter, TimesWithoutTheirOffsetAreCounted) {
  TestTable table =
      make_table({column("at", {.id = TypeId::kTime, .scale = 6, .without_offset = true})},
                 {{cell(std::int64_t{1})}, {out_of_domain("24:00:00-03:30")}, {cell(std::int64_t{2})}}, {});
  for (bool as_load : {true, false}) {
    Written written = as_load ? load(table) : changes(table);
    EXPECT_EQ(written.errors.errors.size(), 1U);
    ASSERT_EQ(written.errors.warnings.size(), 2U);
    EXPECT_EQ(written.errors.warnings[0].what, kOffsetWarning);
  }
}

TEST(ParquetWriter, MillisecondsAreCutTowardsThePastAndCounted) {
  TestTable table = make_table({column("at", {.id = TypeId::kDatetime, .scale = 6}),
                                column("time", {.id = TypeId::kTime, .scale = 6})},
                               {{cell(std::int64_t{-1}), cell(std::int64_t{1'999})},
                                {cell(std::int64_t{-1'000}), cell(std::int64_t{2'000})},
                                {cell(std::int64_t{1'999}), {}}},
                               {});
  for (bool as_load : {true, false}) {
    ParquetOptions options{.timestamp_in_milliseconds = true};
    Written written = as_load ? load(table, options) : changes(table, options);
    auto read = contents_of(written.file);
    const auto& at = static_cast<const arrow::TimestampArray&>(*read->column(0)->chunk(0));
    EXPECT_EQ(std::vector<std::int64_t>({at.Value(0), at.Value(1), at.Value(2)}),
              std::vector<std::int64_t>({-1, -1, 1}));
    const auto& time = static_cast<const arrow::Time32Array&>(*read->column(1)->chunk(0));
    EXPECT_EQ(time.Value(0), 1);
    EXPECT_EQ(time.Value(1), 2);
    EXPECT_TRUE(time.IsNull(2));
    EXPECT_EQ(written.errors.warnings.size(), 3U);
  }
}

TEST(ParquetWriter, ValuesNotSentAreNull) {
  TestTable table = employees({{cell(std::int32_t{5}), not_sent(), not_sent()}});
  EXPECT_TRUE(changes(table, {}, {nullptr, true, ""}, 'D').errors.warnings.empty());
  Written updated = changes(table, {}, {nullptr, true, ""}, 'U');
  EXPECT_EQ(updated.errors.warnings.size(), 2U);
  EXPECT_EQ(contents_of(updated.file)->column(2)->null_count(), 1);
}

TEST(ParquetWriter, AnObjectEndsBeforeTheRowThatIsTooMuch) {
  constexpr std::int64_t kBytesMax = 100'000;
  TestTable table = employees_of(20'000, 40);
  model::RecordBatch batch = table.batch();
  CollectedErrors errors;
  std::int64_t rows = 0;
  int objects = 0;
  for (std::int64_t row = 0; row < 20'000; ++objects) {
    StringSink sink;
    auto writer = make_parquet_writer(sink, {table.version}, {.encoding = ParquetOptions::Encoding::kPlain});
    row = writer->write_rows({.batch = batch, .first = row, .bytes_max = kBytesMax}, errors);
    EXPECT_LE(writer->bytes(), kBytesMax);
    if (row < 20'000) {
      EXPECT_GT(writer->bytes(), kBytesMax * 9 / 10);
    }
    rows += writer->rows();
    EXPECT_EQ(rows, row);
    writer->finish();
    EXPECT_EQ(footer_of(sink.text)->num_rows(), writer->rows());
  }
  EXPECT_GT(objects, 5);

  StringSink sink;
  auto writer = make_parquet_writer(sink, {table.version}, {});
  EXPECT_EQ(writer->write_rows({.batch = batch, .bytes_max = 1}, errors), 1);
}

TEST(ParquetWriter, ARowGroupClosesAtItsBytes) {
  constexpr std::int64_t kGroupBytes = 200'000;
  TestTable table = employees_of(10'000, 100);
  for (bool as_load : {true, false}) {
    StringSink sink;
    CollectedErrors errors;
    auto writer = make_parquet_writer(sink, {table.version},
                                      {.encoding = ParquetOptions::Encoding::kPlain,
                                       .row_group_length = 1'000'000,
                                       .row_group_bytes_max = kGroupBytes});
    if (as_load) {
      write_as_load(*writer, table, errors);
    } else {
      write_as_changes(*writer, table, errors);
    }
    auto footer = footer_of(sink.text);
    EXPECT_EQ(footer->num_rows(), 10'000);
    EXPECT_GT(footer->num_row_groups(), 4);
    for (int i = 0; i < footer->num_row_groups(); ++i) {
      EXPECT_LT(footer->RowGroup(i)->total_byte_size(), kGroupBytes + 10'000);
    }
  }
}

TEST(ParquetWriter, ManySmallBatchesMakeOneRowGroup) {
  TestTable table = employees_of(7);
  model::RecordBatch batch = table.batch();
  StringSink sink;
  CollectedErrors errors;
  auto writer = make_parquet_writer(sink, {table.version}, {});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(writer->write_rows({.batch = batch}, errors), 7);
  EXPECT_EQ(writer->rows(), 700);
  writer->finish();
  EXPECT_EQ(footer_of(sink.text)->num_row_groups(), 1);
  EXPECT_EQ(contents_of(sink.text)->num_rows(), 700);
}

TEST(ParquetWriter, TheSinksErrorComesThroughAndNothingFollows) {
  struct FullSink : ByteSink {
    int calls = 0;
    void write(std::string_view bytes) override {
      ++calls;
      if (bytes != "PAR1") throw base::Error(base::ErrorKind::kTargetFull, "the target is full");
    }
  } sink;
  TestTable table = employees_of(10'001);
  CollectedErrors errors;
  auto writer = make_parquet_writer(sink, {table.version}, {});
  model::RecordBatch batch = table.batch();
  try {
    writer->write_rows({.batch = batch}, errors);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kTargetFull);
  }
  int calls = sink.calls;
  writer.reset();
  EXPECT_EQ(sink.calls, calls);
}

TEST(ParquetWriter, AnUnfinishedObjectWritesNoFooter) {
  StringSink sink;
  CollectedErrors errors;
  TestTable table = employees_of(10);
  auto writer = make_parquet_writer(sink, {table.version}, {});
  model::RecordBatch batch = table.batch();
  writer->write_rows({.batch = batch}, errors);
  writer.reset();
  EXPECT_EQ(sink.text, "PAR1");
}

TEST(ParquetDictionary, OnlyWhereStatisticsSayFewDistinctValues) {
  const auto few = [](double share, std::int64_t rows) {
    model::Column described = column("c", {});
    described.distinct_share = share;
    return few_distinct_values(described, {.rows_estimate = rows});
  };
  EXPECT_FALSE(few(-1, 5'000'000));
  EXPECT_TRUE(few(0.0002, 5'000'000));  // 1,000 values in row groups of 10,000 rows.
  EXPECT_FALSE(few(0.02, 5'000'000));   // 100,000 values.
  EXPECT_FALSE(few(1, 5'000'000));
  EXPECT_TRUE(few(0.1, 5'000));
  EXPECT_TRUE(few(0.001, -1));
  EXPECT_FALSE(few(0.1, -1));

  TestTable table = employees_of(100);
  auto version = std::make_shared<model::TableVersion>(*table.version);
  version->columns[1].distinct_share = 0.001;
  table.version = version;
  auto footer = footer_of(load(table, {.dictionary_by_statistics = true}).file);
  auto group = footer->RowGroup(0);
  EXPECT_FALSE(group->ColumnChunk(0)->has_dictionary_page());
  EXPECT_TRUE(group->ColumnChunk(1)->has_dictionary_page());
}

}  // namespace
}  // namespace ferry::formats
