// Files in plain folders, and in a bucket, as a target under the suite, in both formats. They are read with
// Arrow's own readers.

#include <arrow/api.h>
#include <arrow/csv/api.h>
#include <arrow/io/api.h>
#include <gtest/gtest.h>
#include <parquet/arrow/reader.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>

#include "aws/credentials.h"
#include "aws/s3_client.h"
#include "connectors/s3/client.h"
#include "connectors/s3/connector.h"
#include "tests/conformance/target_conformance.h"
#include "tests/support/memory/memory_journal.h"

namespace ferry::conformance {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNull = "\\N";
constexpr std::chrono::seconds kBatchInterval{60};
// The suite's tables: the one without a key is named by its whole rows.
constexpr std::string_view kTableOfFullRows = "lines";

template <typename T>
T value_of(arrow::Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().ToString());
  return std::move(result).ValueUnsafe();
}

std::shared_ptr<arrow::Table> read_csv(const fs::path& file) {
  auto convert = arrow::csv::ConvertOptions::Defaults();
  convert.null_values = {std::string(kNull)};
  convert.strings_can_be_null = true;
  convert.quoted_strings_can_be_null = false;
  convert.column_types = {
      {"Op", arrow::utf8()}, {"id", arrow::int32()}, {"name", arrow::utf8()}, {"extra", arrow::utf8()}};
  auto parse = arrow::csv::ParseOptions::Defaults();
  parse.newlines_in_values = true;
  parse.ignore_empty_lines = false;
  auto input = value_of(arrow::io::ReadableFile::Open(file));
  auto reader = value_of(arrow::csv::TableReader::Make(arrow::io::default_io_context(), input,
                                                       arrow::csv::ReadOptions::Defaults(), parse, convert));
  return value_of(reader->Read());
}

std::shared_ptr<arrow::Table> read_parquet(const fs::path& file) {
  auto input = value_of(arrow::io::ReadableFile::Open(file));
  auto reader = value_of(parquet::arrow::OpenFile(input, arrow::default_memory_pool()));
  auto table = value_of(reader->ReadTable());
  return table;
}

// A row of a file, and how it changes the rows before it.
struct FileRow {
  std::string op;  // Empty in a load.
  SuiteRow row;
};

std::vector<FileRow> rows_of(const arrow::Table& table) {
  auto whole = value_of(table.CombineChunksToBatch());
  auto text = [&](const char* column, std::int64_t at) -> std::optional<std::string> {
    auto array = std::dynamic_pointer_cast<arrow::StringArray>(whole->GetColumnByName(column));
    if (!array || array->IsNull(at)) return std::nullopt;
    return array->GetString(at);
  };
  auto ids = std::dynamic_pointer_cast<arrow::Int32Array>(whole->GetColumnByName("id"));
  std::vector<FileRow> rows;
  for (std::int64_t i = 0; i < whole->num_rows(); ++i) {
    if (!ids || ids->IsNull(i)) throw std::runtime_error("a row without id");
    rows.push_back({text("Op", i).value_or(""), {ids->Value(i), text("name", i)}});
  }
  return rows;
}

class S3TargetFixture : public TargetFixture {
 public:
  explicit S3TargetFixture(std::string format) : format_(std::move(format)) {
    std::string name = fs::temp_directory_path() / "ferry-s3-conformance-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    folder_ = name;
    fs::create_directory(folder_ / "scratch");
    quirks_.durable_within = kBatchInterval;
  }
  ~S3TargetFixture() override { fs::remove_all(folder_); }

  const TargetQuirks& quirks() const override { return quirks_; }
  std::unique_ptr<connector::Target> open() override {
    model::Endpoint endpoint;
    endpoint.identifier = "target";
    endpoint.engine_name = "s3";
    std::map<std::string, std::string> settings = {
        {"DataFormat", format_},
        {"AddColumnName", format_ == "csv" ? "true" : "false"},
        {"CsvNullValue", std::string(kNull)},
        {"CdcMaxBatchInterval", std::to_string(kBatchInterval.count())}};
    place_at(endpoint, settings);
    for (const auto& [setting, value] : settings) {
      std::string lower = setting;
      std::ranges::transform(lower, lower.begin(),
                             [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      endpoint.settings[lower] = {setting, value};
    }
    return s3::make_s3_connector()->open_target(endpoint, {journal_, clock_, folder_ / "scratch"});
  }

  // Loads, then changes by their names.
  std::vector<SuiteRow> rows(const model::TableName& table) override {
    std::vector<SuiteRow> rows;
    for (const fs::path& file : files(table)) {
      for (FileRow& each : rows_of(*read(file))) apply(table, each, rows);
    }
    std::ranges::sort(rows);
    return rows;
  }
  std::vector<std::string> columns(const model::TableName& table) override {
    auto all = files(table);
    if (all.empty()) return {};
    auto names = read(all.back())->ColumnNames();
    std::erase(names, "Op");
    return names;
  }
  std::string fingerprint() override {
    refresh();
    fs::create_directories(root());
    std::vector<fs::path> all;
    for (const auto& entry : fs::recursive_directory_iterator(root())) {
      if (entry.is_regular_file()) all.push_back(entry.path());
    }
    std::ranges::sort(all);
    std::string text;
    for (const fs::path& file : all) {
      std::ifstream in(file, std::ios::binary);
      text += file.string() + "\n" + std::string(std::istreambuf_iterator<char>(in), {}) + "\n";
    }
    for (const char* table : {"orders", "lines"}) {
      for (const auto& object : journal_.objects({"suite", table})) {
        text += object.key + (object.done ? " done\n" : " intended\n");
      }
    }
    return text;
  }
  std::size_t half_written(const model::TableName& table) override {
    std::size_t count = 0;
    if (!fs::exists(place(table))) return 0;
    for (const auto& entry : fs::directory_iterator(place(table))) {
      count += entry.path().filename().string().starts_with('.') ? 1 : 0;
    }
    return count;
  }
  // The form of directory_store.cc, with the number of a process that is gone.
  void leave_half_written(const model::TableName& table) override {
    put(place(table) / ".ferry-1-1.partial");
  }
  void put_foreign(const model::TableVersionPtr& table) override { put(foreign(table->name)); }
  bool has_foreign(const model::TableName& table) override {
    refresh();
    return fs::exists(foreign(table));
  }
  bool put_other_form(const model::TableName& table) override {
    put(other_form(table));
    return true;
  }
  bool has_other_form(const model::TableName& table) override {
    refresh();
    return fs::exists(other_form(table));
  }
  // refused_name() is left out: there is no text that a file cannot hold.
  void pass_time(std::chrono::milliseconds duration) override { clock_.advance(duration); }

 protected:
  // What makes the endpoint's place that of this fixture.
  virtual void place_at(model::Endpoint& endpoint, std::map<std::string, std::string>& settings) {
    (void)settings;
    endpoint.endpoint_url = "file://" + root().string();
  }
  // Called before anything below root() is read.
  virtual void refresh() {}
  // Puts a file there that Ferry did not write.
  virtual void put(const fs::path& file) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "made by nobody's task\n";
  }
  fs::path root() const { return folder_ / "files"; }
  const std::string& format() const { return format_; }

 private:
  fs::path place(const model::TableName& table) const { return root() / table.schema / table.table; }
  fs::path foreign(const model::TableName& table) const { return place(table) / ("LOAD000000FF." + format_); }
  fs::path other_form(const model::TableName& table) const { return place(table) / "read me.txt"; }
  std::shared_ptr<arrow::Table> read(const fs::path& file) const {
    return format_ == "csv" ? read_csv(file) : read_parquet(file);
  }

  std::vector<fs::path> files(const model::TableName& table) {
    refresh();
    const std::regex form(R"(LOAD[0-9A-F]{8}\..*|\d{8}-\d{9}\..*)");
    std::vector<fs::path> found;
    if (!fs::exists(place(table))) return found;
    for (const auto& entry : fs::directory_iterator(place(table))) {
      if (std::regex_match(entry.path().filename().string(), form)) found.push_back(entry.path());
    }
    std::ranges::sort(found, {}, [](const fs::path& file) {
      std::string name = file.filename();
      return std::pair(!name.starts_with("LOAD"), name);
    });
    return found;
  }

  // A change of a row that is not there, or an insert of a key that is, is an error of the target.
  static void apply(const model::TableName& table, FileRow& change, std::vector<SuiteRow>& rows) {
    bool keyed = table.table != kTableOfFullRows;
    auto found = std::ranges::find_if(
        rows, [&](const SuiteRow& row) { return keyed ? row.id == change.row.id : row == change.row; });
    bool adds = change.op.empty() || change.op == "I";
    if (keyed && adds == (found != rows.end())) {
      throw std::runtime_error("'" + change.op + "' of the row " + std::to_string(change.row.id) +
                               ", which is " + (adds ? "there" : "not there"));
    }
    if (adds) {
      rows.push_back(std::move(change.row));
    } else if (found == rows.end()) {
      throw std::runtime_error("a change of a row that is not there");
    } else if (change.op == "U" && keyed) {
      *found = std::move(change.row);
    } else if (change.op == "D") {
      rows.erase(found);
    } else {
      throw std::runtime_error("Op '" + change.op + "'");
    }
  }

  const std::string format_;
  TargetQuirks quirks_;
  fs::path folder_;
  base::ManualClock clock_{1700000000000000};
  test_support::MemoryJournal journal_;
};

// A bucket at the service that AWS_ENDPOINT_URL_S3 names, each test in a folder of its own. What is there is
// downloaded before it is looked at.
class BucketFixture final : public S3TargetFixture {
 public:
  explicit BucketFixture(const std::string& format) : S3TargetFixture(format) {
    const char* url = ::getenv("AWS_ENDPOINT_URL_S3");
    if (url == nullptr) throw std::runtime_error("run this by tests/support/s3_server.py");
    static int made = 0;
    place_ = "test" + std::to_string(++made) + "-" + std::to_string(::getpid()) + "/";
    url_ = url;
    client_ = s3::make_client({.endpoint_url = url_, .name = std::string(kBucket)}, {});
  }

  std::size_t half_written(const model::TableName& table) override {
    return client_->list_multipart_uploads(place_ + table.schema + "/" + table.table + "/").size();
  }
  void leave_half_written(const model::TableName& table) override {
    client_->create_multipart_upload(place_ + table.schema + "/" + table.table + "/LOAD00000001." + format());
  }

 protected:
  static constexpr std::string_view kBucket = "conformance";

  void place_at(model::Endpoint& endpoint, std::map<std::string, std::string>& settings) override {
    endpoint.endpoint_url = url_;
    settings["BucketName"] = kBucket;
    settings["BucketFolder"] = place_;
  }
  void refresh() override {
    fs::remove_all(root());
    for (const aws::ListedObject& object : client_->list_objects(place_)) {
      fs::path file = root() / object.key.substr(place_.size());
      fs::create_directories(file.parent_path());
      std::ofstream(file, std::ios::binary) << get(object.key);
    }
  }
  void put(const fs::path& file) override {
    client_->put_object(place_ + file.lexically_relative(root()).string(), "made by nobody's task\n");
  }

 private:
  // The client itself reads no object.
  std::string get(const std::string& key) {
    aws::HttpRequest request{.method = "GET",
                             .address = client_->bucket().address,
                             .path = client_->bucket().base_path + "/" + key,
                             .headers = {{"x-amz-content-sha256", aws::sha256_hex("")}}};
    static const std::shared_ptr<aws::Http> http = aws::make_http({});
    static const auto credentials = aws::make_credential_chain(
        {.environment = aws::Environment::of_process(), .http = http, .clock = base::Clock::real()});
    aws::sign(request, credentials->get({}), {.region = client_->bucket().region, .service = "s3"},
              base::Clock::real().now());
    aws::HttpResponse answer = http->send(request, {});
    if (answer.status != 200) throw std::runtime_error("cannot read " + key + ": " + answer.body);
    return answer.body;
  }

  std::string place_;
  std::string url_;
  std::shared_ptr<aws::S3Client> client_;
};

INSTANTIATE_TEST_SUITE_P(
    S3Bucket, TargetConformance,
    testing::Values(TargetCase{"Csv", [] { return std::make_unique<BucketFixture>("csv"); }},
                    TargetCase{"Parquet", [] { return std::make_unique<BucketFixture>("parquet"); }}),
    [](const auto& each) { return each.param.name; });

INSTANTIATE_TEST_SUITE_P(
    S3, TargetConformance,
    testing::Values(TargetCase{"Csv", [] { return std::make_unique<S3TargetFixture>("csv"); }},
                    TargetCase{"Parquet", [] { return std::make_unique<S3TargetFixture>("parquet"); }}),
    [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace ferry::conformance
