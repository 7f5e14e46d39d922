#include "connectors/s3/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "model/endpoint_settings.h"

namespace ferry::s3 {
namespace {

using base::Error;
using base::ErrorKind;
using model::SettingReader;

constexpr std::string_view kFileScheme = "file://";
constexpr std::int64_t kKilobyte = 1024;

std::filesystem::path directory_of(const model::Endpoint& endpoint, const SettingReader& settings) {
  std::string_view url = endpoint.endpoint_url;
  if (!url.starts_with(kFileScheme) || !url.substr(kFileScheme.size()).starts_with('/')) {
    bool is_path = !url.empty() && url.find(':') == std::string_view::npos;
    std::string example = is_path ? std::filesystem::absolute(url).lexically_normal().string() : "/directory";
    throw Error(ErrorKind::kUnsupported,
                {.message = fmt::format(
                     "the target's EndpointUrl '{}' names neither a directory nor an S3 service", url),
                 .remedy = fmt::format(
                     "Write {}{}, http://host:port or https://host:port; leave it out for AWS itself.",
                     kFileScheme, example)});
  }
  std::filesystem::path directory(url.substr(kFileScheme.size()));
  const std::string& bucket = settings.text("BucketName");
  if (bucket.find_first_of("/\\") != std::string::npos || bucket == "." || bucket == "..") {
    throw Error(ErrorKind::kDocumentInvalid, fmt::format("BucketName '{}' is no bucket's name", bucket));
  }
  return bucket.empty() ? directory : directory / bucket;
}

bool names_bucket(std::string_view url) {
  return url.empty() || url.starts_with("http://") || url.starts_with("https://");
}

void refuse(bool wrong, std::string_view message, std::string_view remedy) {
  if (wrong) {
    throw Error(ErrorKind::kSettingConflict,
                {.message = std::string(message), .remedy = std::string(remedy)});
  }
}

aws::ObjectAttributes attributes_of(const SettingReader& settings) {
  bool kms = settings.choice("EncryptionMode") == "sse-kms";
  aws::ObjectAttributes attributes{.encryption = kms ? "aws:kms" : "AES256",
                                   .kms_key_id = settings.text("ServerSideEncryptionKmsKeyId"),
                                   .encryption_may_be_left_out = !settings.named("EncryptionMode")};
  if (settings.choice("CannedAclForObjects") != "none")
    attributes.canned_acl = settings.choice("CannedAclForObjects");
  return attributes;
}

std::optional<aws::BucketStyle> style_of(const SettingReader& settings) {
  const std::string& style = settings.choice("s3AddressingStyle");
  if (style.empty()) return std::nullopt;
  return style == "path" ? aws::BucketStyle::kPath : aws::BucketStyle::kVirtualHost;
}

BucketSettings bucket_of(const model::Endpoint& endpoint, const SettingReader& settings) {
  const std::string& name = settings.text("BucketName");
  bool is_name = std::ranges::all_of(name, [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c) != 0) || c == '.' || c == '-' || c == '_';
  });
  if (name.empty() || !is_name || name == "." || name == "..") {
    throw Error(ErrorKind::kDocumentInvalid,
                Error::Parts{.message = fmt::format("BucketName '{}' is no bucket's name", name),
                             .remedy = "Give the bucket's name; a folder in it is BucketFolder."});
  }
  if (!endpoint.endpoint_url.empty()) aws::parse_service_url(endpoint.endpoint_url);
  // They become headers.
  for (const char* header : {"ServerSideEncryptionKmsKeyId", "ExpectedBucketOwner"}) {
    if (std::ranges::all_of(settings.text(header), [](char c) { return c > ' ' && c <= '~'; })) continue;
    throw Error(ErrorKind::kDocumentInvalid,
                fmt::format("{} has a character that no such value has", header));
  }
  return {.endpoint_url = endpoint.endpoint_url,
          .name = name,
          .certificate_authorities = endpoint.certificate_pem,
          .style = style_of(settings),
          .attributes = attributes_of(settings),
          .expected_bucket_owner = settings.text("ExpectedBucketOwner"),
          .service_access_role_arn = settings.text("ServiceAccessRoleArn")};
}

// What only a bucket can give.
void refuse_in_directory(const SettingReader& settings) {
  refuse(settings.choice("EncryptionMode") == "sse-kms",
         "EncryptionMode sse-kms needs a bucket, and the target is a directory",
         "Leave it out, or name an S3 service in EndpointUrl.");
}

// A folder's setting without '/' at either end and without empty parts, then one '/' behind it.
std::string normal_folder(std::string_view setting, const std::string& folder) {
  std::string normal;
  std::size_t at = 0;
  while (at < folder.size()) {
    std::size_t end = std::min(folder.find('/', at), folder.size());
    std::string part = folder.substr(at, end - at);
    if (part == "." || part == "..") {
      throw Error(ErrorKind::kDocumentInvalid,
                  fmt::format("{} '{}' leads out of the bucket", setting, folder));
    }
    if (!part.empty()) normal += part + '/';
    at = end + 1;
  }
  return normal;
}

// What AWS's console wrote for a CdcPath that nobody gave.
constexpr std::string_view kUndefinedPath = "undefined";

// Empty without PreserveTransactions.
std::string transactions_folder(const SettingReader& settings, const std::string& folder) {
  const std::string& path = settings.text("CdcPath");
  std::string below = path == kUndefinedPath ? "" : normal_folder("CdcPath", path);
  if (!settings.boolean("PreserveTransactions")) {
    if (!below.empty()) {
      base::log_warning(base::kTaskManager, "CdcPath has no effect without PreserveTransactions");
    }
    return {};
  }
  refuse(below.empty(), "PreserveTransactions needs CdcPath, the folder of all tables' changes",
         "Set CdcPath.");
  for (const char* other : {"DatePartitionEnabled", "AddColumnName", "GlueCatalogGeneration"}) {
    refuse(settings.boolean(other), fmt::format("PreserveTransactions and {} exclude each other", other),
           "Set one of them to false.");
  }
  return folder + below;
}

formats::CsvOptions csv_options(const SettingReader& settings) {
  formats::CsvOptions options;
  options.column_delimiter = model::decode_delimiter(settings.text("CsvDelimiter"));
  options.row_delimiter = model::decode_delimiter(settings.text("CsvRowDelimiter"));
  options.null_value = settings.text("CsvNullValue");
  if (settings.boolean("UseCsvNoSupValue") && settings.named("CsvNoSupValue")) {
    options.no_sup_value = settings.text("CsvNoSupValue");
  }
  options.rfc4180 = settings.boolean("Rfc4180");
  options.header = settings.boolean("AddColumnName");
  options.gzip = settings.choice("CompressionType") == "gzip";
  return options;
}

formats::ParquetOptions::Codec codec_of(const SettingReader& settings) {
  using Codec = formats::ParquetOptions::Codec;
  const std::string& own = settings.choice("parquetCompression");
  if (own == "snappy") return Codec::kSnappy;
  if (own == "zstd") return Codec::kZstd;
  return settings.choice("CompressionType") == "gzip" ? Codec::kGzip : Codec::kNone;
}

formats::ParquetOptions::Encoding encoding_of(const SettingReader& settings) {
  using Encoding = formats::ParquetOptions::Encoding;
  const std::string& encoding = settings.choice("EncodingType");
  if (encoding == "plain") return Encoding::kPlain;
  return encoding == "plain-dictionary" ? Encoding::kPlainDictionary : Encoding::kRleDictionary;
}

formats::ParquetOptions parquet_options(const SettingReader& settings) {
  using Version = formats::ParquetOptions::Version;
  formats::ParquetOptions options;
  options.codec = codec_of(settings);
  options.version = settings.choice("ParquetVersion") == "parquet-2-0" ? Version::k2_0 : Version::k1_0;
  options.encoding = encoding_of(settings);
  // A dictionary on every column costs more than reading and compressing together (bench/README.md), so
  // unless the user names the encoding, the statistics say where it pays.
  options.dictionary_by_statistics = !settings.named("EncodingType");
  options.dict_page_size_limit = settings.integer("DictPageSizeLimit");
  options.data_page_size = settings.integer("DataPageSize");
  options.row_group_length = settings.integer("RowGroupLength");
  options.statistics = settings.boolean("EnableStatistics");
  options.timestamp_in_milliseconds = settings.boolean("ParquetTimestampInMillisecond");
  return options;
}

}  // namespace

std::string S3TargetSettings::extension() const {
  return data_format == DataFormat::kParquet ? "parquet" : csv_extension();
}

S3TargetSettings parse_target_settings(const model::Endpoint& endpoint) {
  SettingReader reader(endpoint, model::EndpointRole::kTarget);
  refuse(reader.boolean("CdcInsertsOnly") && reader.boolean("CdcInsertsAndUpdates"),
         "CdcInsertsOnly and CdcInsertsAndUpdates exclude each other", "Set at most one of them.");

  bool kms = reader.choice("EncryptionMode") == "sse-kms";
  refuse(kms && reader.text("ServerSideEncryptionKmsKeyId").empty(),
         "EncryptionMode is sse-kms, and ServerSideEncryptionKmsKeyId is not given",
         "Give the key's ARN or id.");
  refuse(!kms && !reader.text("ServerSideEncryptionKmsKeyId").empty(),
         "ServerSideEncryptionKmsKeyId is given, and EncryptionMode is not sse-kms",
         "Set EncryptionMode to sse-kms.");

  S3TargetSettings settings;
  if (names_bucket(endpoint.endpoint_url)) {
    settings.bucket = bucket_of(endpoint, reader);
  } else {
    settings.directory = directory_of(endpoint, reader);
    refuse_in_directory(reader);
  }
  settings.folder = normal_folder("BucketFolder", reader.text("BucketFolder"));
  settings.transactions_folder = transactions_folder(reader, settings.folder);
  settings.data_format = reader.choice("DataFormat") == "parquet" ? DataFormat::kParquet : DataFormat::kCsv;
  settings.csv = csv_options(reader);
  settings.parquet = parquet_options(reader);
  settings.load_bytes_max = reader.integer("MaxFileSize") * kKilobyte;
  settings.include_op_for_full_load = reader.boolean("IncludeOpForFullLoad");
  settings.cdc_inserts_only = reader.boolean("CdcInsertsOnly");
  settings.cdc_inserts_and_updates = reader.boolean("CdcInsertsAndUpdates");
  settings.cdc_max_batch_interval = std::chrono::seconds(reader.integer("CdcMaxBatchInterval"));
  settings.cdc_bytes_min = reader.integer("CdcMinFileSize") * kKilobyte;
  if (reader.boolean("DatePartitionEnabled")) {
    settings.date_partition.emplace(reader.choice("DatePartitionSequence"),
                                    reader.choice("DatePartitionDelimiter"),
                                    reader.text("DatePartitionTimezone"));
  }
  settings.timestamp_column_name = reader.text("TimestampColumnName");
  settings.use_task_start_time = reader.boolean("UseTaskStartTimeForFullLoadTimestamp");
  return settings;
}

formats::ObjectShape load_shape(const S3TargetSettings& settings, model::TableVersionPtr table) {
  return {.table = std::move(table),
          .op_column = settings.include_op_for_full_load,
          .timestamp_column = settings.timestamp_column_name};
}

formats::ObjectShape changes_shape(const S3TargetSettings& settings, model::TableVersionPtr table) {
  // AWS DMS user guide, "Indicating source DB operations in migrated S3 data": only inserts-only files
  // without Op in the load have no Op column.
  return {.table = std::move(table),
          .op_column = !settings.cdc_inserts_only || settings.include_op_for_full_load,
          .timestamp_column = settings.timestamp_column_name};
}

std::unique_ptr<formats::ObjectWriter> make_writer(const S3TargetSettings& settings, formats::ByteSink& sink,
                                                   formats::ObjectShape shape, const WriterHints& hints) {
  if (settings.data_format == DataFormat::kCsv)
    return formats::make_csv_writer(sink, std::move(shape), settings.csv);
  formats::ParquetOptions options = settings.parquet;
  options.row_group_bytes_max = hints.row_group_bytes_max;
  options.rows_estimate = hints.rows_estimate;
  return formats::make_parquet_writer(sink, std::move(shape), options);
}

}  // namespace ferry::s3
