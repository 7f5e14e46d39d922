#include "formats/csv/csv_writer.h"

#include <arrow/util/compression.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/test_rows.h"

namespace ferry::formats {
namespace {

using model::TypeId;

// The numbers are the acceptance cases of DMS's behaviour with object storage that a test stands for.

TestTable two_employees() {
  return employees({{cell(std::int32_t{1}), "A", "X"}, {cell(std::int32_t{2}), "B", {}}});
}

struct Written {
  std::string text;
  CollectedErrors errors;
};

Written load(const TestTable& table, CsvOptions options = {}, bool op = false,
             std::string timestamp_column = "") {
  StringSink sink;
  Written written;
  auto writer = make_csv_writer(sink, {table.version, op, std::move(timestamp_column)}, std::move(options));
  write_as_load(*writer, table, written.errors);
  written.text = std::move(sink.text);
  return written;
}

Written changes(const TestTable& table, CsvOptions options = {}, char op = 'I') {
  StringSink sink;
  Written written;
  auto writer = make_csv_writer(sink, {table.version, true, ""}, std::move(options));
  write_as_changes(*writer, table, written.errors, 0, op);
  written.text = std::move(sink.text);
  return written;
}

std::string one_name(std::string name, CsvOptions options = {}) {
  return load(employees({{cell(std::int32_t{1}), std::move(name), {}}}), std::move(options)).text;
}

TEST(CsvWriter, Case1PlainRows) { EXPECT_EQ(load(two_employees()).text, "1,A,X\n2,B,\n"); }

TEST(CsvWriter, Case3NoRowsGiveNoBytes) { EXPECT_EQ(load(employees({}), {.header = true}).text, ""); }

TEST(CsvWriter, Case4HeaderOpAndTimestamp) {
  struct Ticking : base::Clock {
    mutable base::UnixMicros time = 1'658'817'978'616'807;
    base::UnixMicros now() const override { return time++; }
    std::chrono::steady_clock::time_point steady_now() const override { return {}; }
    bool wait(std::chrono::milliseconds, std::stop_token) override { return true; }
  } clock;
  StringSink sink;
  CollectedErrors errors;
  TestTable table = two_employees();
  auto writer = make_csv_writer(sink, {table.version, true, "ts"}, {.header = true});
  model::RecordBatch batch = table.batch();
  writer->write_rows({.batch = batch, .clock = &clock}, errors);
  writer->finish();
  EXPECT_EQ(sink.text,
            "Op,ts,id,name,city\n"
            "I,2022-07-26 06:46:18.616807,1,A,X\n"
            "I,2022-07-26 06:46:18.616808,2,B,\n");
  EXPECT_EQ(writer->bytes(), static_cast<std::int64_t>(sink.text.size()));
}

TEST(CsvWriter, Case5HeaderHasAsManyFieldsAsRows) {
  EXPECT_EQ(load(two_employees(), {.header = true}).text, "id,name,city\n1,A,X\n2,B,\n");
}

TEST(CsvWriter, Case6QuotesOnlyWhereNeeded) {
  EXPECT_EQ(one_name("He said \"hi\", ok"), "1,\"He said \"\"hi\"\", ok\",\n");
  EXPECT_EQ(one_name("a\nb"), "1,\"a\nb\",\n");
  EXPECT_EQ(one_name("a\rb"), "1,\"a\rb\",\n");
  EXPECT_EQ(one_name("Carine "), "1,Carine ,\n");
  EXPECT_EQ(one_name("Kelly's"), "1,Kelly's,\n");
  EXPECT_EQ(one_name(std::string(40, 'x') + ","), "1,\"" + std::string(40, 'x') + ",\",\n");
  EXPECT_EQ(one_name("\""), "1,\"\"\"\",\n");
  EXPECT_EQ(one_name("\"\""), "1,\"\"\"\"\"\",\n");
}

TEST(CsvWriter, Case7WithoutRfc4180NothingIsQuoted) {
  EXPECT_EQ(one_name("He said \"hi\", ok", {.rfc4180 = false}), "1,He said \"hi\", ok,\n");
}

TEST(CsvWriter, Case8AnotherDelimiter) {
  CsvOptions options{.column_delimiter = "|"};
  EXPECT_EQ(one_name("54, rue", options), "1|54, rue|\n");
  EXPECT_EQ(one_name("a|b", options), "1|\"a|b\"|\n");
}

TEST(CsvWriter, ADelimiterThatNumbersHold) {
  TestTable table = make_table({column("d", {.id = TypeId::kDate}), column("i", {.id = TypeId::kInt4})},
                               {{cell(std::int32_t{0}), cell(std::int32_t{-5})}});
  EXPECT_EQ(load(table, {.column_delimiter = "-"}).text, "\"1970-01-01\"-\"-5\"\n");
}

TEST(CsvWriter, ADelimiterOfSeveralBytes) {
  CsvOptions options{.column_delimiter = "||", .row_delimiter = "\r\n"};
  EXPECT_EQ(one_name("a||b", options), "1||\"a||b\"||\r\n");
  EXPECT_EQ(one_name("half |", options), "1||\"half |\"||\r\n");
}

TEST(CsvWriter, Case9RowDelimiterOfTwoCharacters) {
  EXPECT_EQ(load(two_employees(), {.row_delimiter = "\r\n"}).text, "1,A,X\r\n2,B,\r\n");
}

TEST(CsvWriter, AHugeRowDoesNotKeepItsMemory) {
  TestTable table = employees({{cell(std::int32_t{1}), std::string(5'000'000, 'x'), "X"}});
  StringSink sink;
  CollectedErrors errors;
  auto writer = make_csv_writer(sink, {table.version}, {});
  write_as_load(*writer, table, errors);
  EXPECT_EQ(sink.text.size(), 5'000'005U);
  EXPECT_LT(writer->memory_bytes(), 1'000'000);
}

TEST(CsvWriter, Case10NullValue) {
  EXPECT_EQ(load(two_employees(), {.null_value = "\\N"}).text, "1,A,X\n2,B,\\N\n");
  EXPECT_EQ(load(two_employees(), {.null_value = "NULL"}).text, "1,A,X\n2,B,NULL\n");
  EXPECT_EQ(one_name("NULL", {.null_value = "NULL"}), "1,NULL,NULL\n");
}

TEST(CsvWriter, Case11Types) {
  const auto real = [](double value) { return cell(value); };
  TestTable table =
      make_table({column("a", {.id = TypeId::kReal8}), column("b", {.id = TypeId::kReal8}),
                  column("c", {.id = TypeId::kReal8}), column("d", {.id = TypeId::kReal8}),
                  column("e", {.id = TypeId::kNumeric, .precision = 8, .scale = 2}),
                  column("f", {.id = TypeId::kDate}), column("g", {.id = TypeId::kDatetime, .scale = 0})},
                 {{real(506560),
                   real(0),
                   {},
                   real(-0.5),
                   cell(Int128{40}),
                   cell(std::int32_t{18'915}),
                   cell(std::int64_t{550'886'400'000'000})}});
  EXPECT_EQ(load(table).text,
            "+5.0656000000000000e+05,+0.0000000000000000e+00,,-5.0000000000000000e-01,0.40,2021-10-15,"
            "1987-06-17 00:00:00\n");
}

TEST(CsvWriter, Case12AnObjectEndsBeforeTheRowThatIsTooMuch) {
  std::vector<TestRow> rows;
  // "%04d," + name + "," + LF is 100 bytes.
  for (std::int32_t i = 0; i < 300; ++i)
    rows.push_back({cell(std::int32_t{1000 + i}), std::string(93, 'x'), {}});
  TestTable table = employees(std::move(rows));
  model::RecordBatch batch = table.batch();
  CollectedErrors errors;
  std::string all;
  std::vector<std::size_t> sizes;
  for (std::int64_t row = 0; row < 300;) {
    StringSink sink;
    auto writer = make_csv_writer(sink, {table.version}, {});
    row = writer->write_rows({.batch = batch, .first = row, .bytes_max = 1024}, errors);
    writer->finish();
    sizes.push_back(sink.text.size());
    all += sink.text;
  }
  EXPECT_EQ(sizes, std::vector<std::size_t>(30, 1000));
  EXPECT_EQ(all, load(table).text);
}

TEST(CsvWriter, ARowLargerThanTheObjectStandsAlone) {
  TestTable table =
      employees({{cell(std::int32_t{1}), std::string(5000, 'x'), "X"}, {cell(std::int32_t{2}), "B", {}}});
  model::RecordBatch batch = table.batch();
  CollectedErrors errors;
  StringSink sink;
  auto writer = make_csv_writer(sink, {table.version}, {.header = true});
  EXPECT_EQ(writer->write_rows({.batch = batch, .bytes_max = 1024}, errors), 1);
  EXPECT_EQ(writer->rows(), 1);
  EXPECT_EQ(writer->write_rows({.batch = batch, .first = 1, .bytes_max = 1024}, errors), 1);
  EXPECT_EQ(writer->rows(), 1);
}

std::string unzipped(const std::string& zipped, std::size_t size) {
  auto codec = *arrow::util::Codec::Create(arrow::Compression::GZIP);
  std::string text(size, '\0');
  auto got = codec->Decompress(static_cast<std::int64_t>(zipped.size()),
                               reinterpret_cast<const std::uint8_t*>(zipped.data()),
                               static_cast<std::int64_t>(size), reinterpret_cast<std::uint8_t*>(text.data()));
  EXPECT_EQ(got.ValueOr(-1), static_cast<std::int64_t>(size));
  return text;
}

TEST(CsvWriter, Case13Gzip) {
  std::string zipped = load(two_employees(), {.gzip = true}).text;
  EXPECT_EQ(zipped.substr(0, 2), "\x1f\x8b");
  EXPECT_EQ(unzipped(zipped, 11), "1,A,X\n2,B,\n");
}

TEST(CsvWriter, GzipOfMoreThanTheBuffers) {
  std::vector<TestRow> rows;
  std::uint64_t noise = 1;
  for (std::int32_t i = 0; i < 20'000; ++i) {
    noise = noise * 6364136223846793005U + 1442695040888963407U;
    rows.push_back({cell(i), std::to_string(noise) + std::to_string(noise * 31), "X"});
  }
  TestTable table = employees(std::move(rows));
  std::string plain = load(table).text;
  EXPECT_EQ(unzipped(load(table, {.gzip = true}).text, plain.size()), plain);
}

TEST(CsvWriter, Case14Changes) {
  StringSink sink;
  CollectedErrors errors;
  TestTable table = employees({});
  auto writer = make_csv_writer(sink, {table.version, true, ""}, {});
  const auto write = [&](char op, const char* name) {
    TestRow row = {cell(std::int32_t{497}), name, "Boston"};
    auto cells = TestTable::cells_of(row);
    EXPECT_TRUE(writer->write_change({.op = op, .cells = cells}, errors));
  };
  write('I', "Mitesh");
  write('U', "Ruffy");
  write('D', "Ruffy");
  writer->finish();
  EXPECT_EQ(sink.text, "I,497,Mitesh,Boston\nU,497,Ruffy,Boston\nD,497,Ruffy,Boston\n");
}

TEST(CsvWriter, Case15ValuesNotSent) {
  TestTable table = employees({{cell(std::int32_t{5}), not_sent(), not_sent()}});
  Written deleted = changes(table, {}, 'D');
  EXPECT_EQ(deleted.text, "D,5,,\n");
  EXPECT_TRUE(deleted.errors.warnings.empty());
  EXPECT_EQ(changes(table, {.no_sup_value = "~"}, 'D').text, "D,5,~,~\n");

  Written updated = changes(table, {}, 'U');
  EXPECT_EQ(updated.text, "U,5,,\n");
  ASSERT_EQ(updated.errors.warnings.size(), 2U);
  EXPECT_EQ(updated.errors.warnings[1].column, "city");
  Written filled = changes(table, {.no_sup_value = "~"}, 'U');
  EXPECT_EQ(filled.text, "U,5,~,~\n");
  EXPECT_TRUE(filled.errors.warnings.empty());
}

TEST(CsvWriter, TellsOfAValueThatReadsAsNull) {
  TestTable table = employees({{cell(std::int32_t{1}), "NULL", {}}, {cell(std::int32_t{2}), "null", ""}});
  Written loaded = load(table, {.null_value = "NULL"});
  EXPECT_EQ(loaded.text, "1,NULL,NULL\n2,null,\n");
  ASSERT_EQ(loaded.errors.warnings.size(), 1U);
  EXPECT_EQ(loaded.errors.warnings[0].column, "name");
  EXPECT_EQ(changes(table, {.null_value = "NULL"}, 'I').errors.warnings.size(), 1U);
  EXPECT_TRUE(load(table, {}).errors.warnings.empty());
}

TEST(CsvWriter, Case18TimestampOfAChange) {
  StringSink sink;
  CollectedErrors errors;
  TestTable table = employees({{cell(std::int32_t{497}), "A", "X"}});
  auto writer = make_csv_writer(sink, {table.version, true, "ts"}, {});
  write_as_changes(*writer, table, errors, 1'704'164'645'678'000, 'U');
  EXPECT_EQ(sink.text, "U,2024-01-02 03:04:05.678000,497,A,X\n");
}

TEST(CsvWriter, LoadAndChangesAgreeOnEveryType) {
  TestTable table = edge_values();
  CsvOptions options{.null_value = "\\N"};
  StringSink loaded;
  StringSink changed;
  CollectedErrors errors;
  ObjectShape shape{table.version, true, "ts"};
  write_as_load(*make_csv_writer(loaded, shape, options), table, errors, 5);
  write_as_changes(*make_csv_writer(changed, shape, options), table, errors, 5);
  EXPECT_EQ(loaded.text, changed.text);
  EXPECT_FALSE(loaded.text.empty());
  EXPECT_TRUE(errors.errors.empty());
  EXPECT_TRUE(errors.warnings.empty());
}

TestTable odd_values() {
  return make_table({column("id", {.id = TypeId::kInt4}), column("at", {.id = TypeId::kDatetime, .scale = 6}),
                     column("day", {.id = TypeId::kDate}), column("time", {.id = TypeId::kTime, .scale = 6}),
                     column("amount", {.id = TypeId::kNumeric})},
                    {{cell(std::int32_t{1}), out_of_domain("infinity"), {}, out_of_domain("24:00:00"), "1.5"},
                     {cell(std::int32_t{2}), out_of_domain("-infinity"), {}, {}, out_of_domain("NaN")},
                     {cell(std::int32_t{3}), {}, out_of_domain("infinity"), {}, {}},
                     {cell(std::int32_t{4}), out_of_domain("-infinity"), {}, {}, "2"}});
}

TEST(CsvWriter, ValuesOutOfDomain) {
  for (bool as_load : {true, false}) {
    Written written = as_load ? load(odd_values(), {}, true) : changes(odd_values());
    EXPECT_EQ(written.text,
              "I,1,9999-12-31 23:59:59,,24:00:00,1.5\n"
              "I,4,4713-01-01 00:00:00 BC,,,2\n");
    ASSERT_EQ(written.errors.errors.size(), 2U);
    EXPECT_EQ(written.errors.errors[0].key, "id=2");
    EXPECT_EQ(written.errors.errors[0].column, "amount");
    EXPECT_EQ(written.errors.errors[1].key, "id=3");
    EXPECT_EQ(written.errors.errors[1].column, "day");
    // Not for row 2, which is not in the object.
    ASSERT_EQ(written.errors.warnings.size(), 2U);
    EXPECT_EQ(written.errors.warnings[0].column, "at");
  }
}

TEST(CsvWriter, OutOfDomainValuesBeforeTheFirstRowAreSkipped) {
  TestTable table = odd_values();
  model::RecordBatch batch = table.batch();
  StringSink sink;
  CollectedErrors errors;
  auto writer = make_csv_writer(sink, {table.version}, {});
  EXPECT_EQ(writer->write_rows({.batch = batch, .first = 2}, errors), 4);
  writer->finish();
  EXPECT_EQ(sink.text, "4,4713-01-01 00:00:00 BC,,,2\n");
  EXPECT_EQ(errors.errors.size(), 1U);
}

TEST(CsvWriter, ARowLeftForTheNextObjectIsWarnedOfOnce) {
  TestTable table = make_table({column("at", {.id = TypeId::kDatetime, .scale = 6})},
                               {{out_of_domain("infinity")}, {out_of_domain("infinity")}});
  model::RecordBatch batch = table.batch();
  CollectedErrors errors;
  for (std::int64_t row = 0; row < 2;) {
    StringSink sink;
    row = make_csv_writer(sink, {table.version}, {})
              ->write_rows({.batch = batch, .first = row, .bytes_max = 1}, errors);
  }
  EXPECT_EQ(errors.warnings.size(), 2U);
}

TEST(CsvWriter, FinerDigitsThanTheScaleAreCutAndCounted) {
  TestTable table = make_table({column("at", {.id = TypeId::kDatetime, .scale = 3})},
                               {{cell(std::int64_t{1'001})}, {cell(std::int64_t{1'000})}}, {});
  Written written = load(table);
  EXPECT_EQ(written.text, "1970-01-01 00:00:00.001\n1970-01-01 00:00:00.001\n");
  EXPECT_EQ(written.errors.warnings.size(), 1U);
}

TEST(CsvWriter, TimesWithoutTheirOffsetAreCounted) {
  TestTable table = make_table({column("at", {.id = TypeId::kTime, .scale = 6, .without_offset = true})},
                               {{cell(std::int64_t{1})}, {out_of_domain("24:00:00-03:30")}}, {});
  for (const Written& written : {load(table), changes(table)}) {
    ASSERT_EQ(written.errors.warnings.size(), 2U);
    EXPECT_EQ(written.errors.warnings[0].what, kOffsetWarning);
    EXPECT_EQ(written.errors.warnings[1].column, "at");
  }
}

TEST(CsvWriter, ASlicedBatchGivesItsOwnRows) {
  TestTable table = edge_values();
  model::RecordBatch batch = table.batch();
  batch.rows = batch.rows->Slice(11, 7);
  StringSink sliced;
  CollectedErrors errors;
  auto writer = make_csv_writer(sliced, {table.version}, {});
  writer->write_rows({.batch = batch}, errors);
  writer->finish();
  table.rows = {table.rows.begin() + 11, table.rows.begin() + 18};
  EXPECT_EQ(sliced.text, load(table).text);
}

TEST(CsvWriter, RefusesATimestampColumnThatTheTableHas) {
  StringSink sink;
  EXPECT_THROW(make_csv_writer(sink, {employees({}).version, false, "city"}, {}), base::Error);
}

TEST(CsvWriter, RefusesAnOpColumnThatTheTableHasWhereNamesAreWritten) {
  StringSink sink;
  TestTable table = make_table({column("Op", {.id = TypeId::kInt4})}, {});
  EXPECT_THROW(make_csv_writer(sink, {table.version, true, ""}, {.header = true}), base::Error);
  EXPECT_NO_THROW(make_csv_writer(sink, {table.version, true, ""}, {}));
  EXPECT_NO_THROW(make_csv_writer(sink, {table.version, false, ""}, {.header = true}));
}

TEST(CsvWriter, RefusesABatchOfOtherColumns) {
  StringSink sink;
  CollectedErrors errors;
  model::RecordBatch batch = edge_values().batch();
  auto writer = make_csv_writer(sink, {employees({}).version}, {});
  EXPECT_THROW(writer->write_rows({.batch = batch}, errors), base::Error);
}

// Every length and place around the blocks that are looked at together.
TEST(CsvWriter, FindsASpecialCharacterAnywhere) {
  for (std::size_t size = 1; size < 50; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = ',';
      ASSERT_EQ(one_name(text), "1,\"" + text + "\",\n") << size << " " << at;
    }
    EXPECT_EQ(one_name(std::string(size, 'x')), "1," + std::string(size, 'x') + ",\n");
  }
}

TEST(CsvWriter, RefusesEmptyDelimiters) {
  StringSink sink;
  EXPECT_THROW(make_csv_writer(sink, {employees({}).version}, {.column_delimiter = ""}), base::Error);
}

TEST(CsvWriter, Case22TransactionsSayWhichTableARowIsOf) {
  StringSink sink;
  CollectedErrors errors;
  TestTable employee = two_employees();
  TestTable other = two_employees();
  auto renamed = std::make_shared<model::TableVersion>(*other.version);
  renamed->name = {"h,r", "dept"};
  renamed->columns.resize(1);
  auto writer = make_csv_transactions_writer(sink, "ts", {.header = true});
  const std::int32_t id = 1;
  const std::string_view number(reinterpret_cast<const char*>(&id), sizeof id);
  const std::vector<model::Cell> one = {{.state = model::CellState::kValue, .bytes = number},
                                        {.state = model::CellState::kValue, .bytes = "A"},
                                        {.state = model::CellState::kNull, .bytes = {}}};
  EXPECT_TRUE(writer->write_change(employee.version, {.op = 'I', .commit_time = 0, .cells = one}, errors));
  EXPECT_TRUE(
      writer->write_change(renamed, {.op = 'D', .commit_time = 1, .cells = std::span(one).first(1)}, errors));
  EXPECT_TRUE(writer->write_change(employee.version, {.op = 'U', .commit_time = 2, .cells = one}, errors));
  EXPECT_EQ(writer->rows(), 3);
  writer->finish();
  EXPECT_EQ(sink.text,
            "I,emp,hr,1970-01-01 00:00:00.000000,1,A,\n"
            "D,dept,\"h,r\",1970-01-01 00:00:00.000001,1\n"
            "U,emp,hr,1970-01-01 00:00:00.000002,1,A,\n");
  EXPECT_EQ(writer->bytes(), static_cast<std::int64_t>(sink.text.size()));
}

}  // namespace
}  // namespace ferry::formats
