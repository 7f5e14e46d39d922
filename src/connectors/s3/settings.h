#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "aws/s3_client.h"
#include "connectors/s3/date_partition.h"
#include "formats/csv/csv_writer.h"
#include "formats/parquet/parquet_writer.h"
#include "model/endpoint.h"

namespace ferry::s3 {

enum class DataFormat : std::uint8_t { kCsv, kParquet };

// A bucket of an S3 service.
struct BucketSettings {
  std::string endpoint_url;             // Empty = AWS.
  std::string name;                     // BucketName
  std::string certificate_authorities;  // PEM; empty = AWS_CA_BUNDLE's, or the system's.
  std::optional<aws::BucketStyle> style;
  aws::ObjectAttributes attributes;
  std::string expected_bucket_owner;
  std::string service_access_role_arn;
};

// S3Settings of a target with every default filled in.
struct S3TargetSettings {
  std::filesystem::path
      directory;  // Where the objects lie: the file:// URL's path and BucketName. Empty for a bucket.
  std::optional<BucketSettings> bucket;  // Nothing for a directory.
  std::string folder;                    // BucketFolder, empty or ending with '/'.

  DataFormat data_format = DataFormat::kCsv;
  formats::CsvOptions csv;
  formats::ParquetOptions parquet;

  std::int64_t load_bytes_max = 0;  // MaxFileSize in bytes.
  bool include_op_for_full_load = false;
  bool cdc_inserts_only = false;
  bool cdc_inserts_and_updates = false;
  std::chrono::seconds cdc_max_batch_interval{60};
  std::int64_t cdc_bytes_min = 0;  // CdcMinFileSize in bytes.
  // CdcPath below `folder`, ending with '/', with PreserveTransactions: the folder of all tables' changes.
  std::string transactions_folder = {};
  std::optional<DatePartition> date_partition;  // Nothing without DatePartitionEnabled.
  std::string timestamp_column_name;
  bool use_task_start_time = false;

  bool preserves_transactions() const { return !transactions_folder.empty(); }

  // "csv", "csv.gz" or "parquet".
  std::string extension() const;
  // "csv" or "csv.gz": transactions are CSV whatever the format of loads.
  std::string csv_extension() const { return csv.gzip ? "csv.gz" : "csv"; }
};

// Throws Error(kDocumentInvalid, kSettingConflict, kUnsupported) naming the setting.
S3TargetSettings parse_target_settings(const model::Endpoint& endpoint);

// The shape of a table's objects of a load or of changes.
formats::ObjectShape load_shape(const S3TargetSettings& settings, model::TableVersionPtr table);
formats::ObjectShape changes_shape(const S3TargetSettings& settings, model::TableVersionPtr table);

// What an object's writer must know beyond the settings.
struct WriterHints {
  std::int64_t row_group_bytes_max = 0;  // A Parquet row group closes at this.
  std::int64_t rows_estimate = -1;       // Of the whole table; -1 = unknown.
};

// A writer in the settings' format.
std::unique_ptr<formats::ObjectWriter> make_writer(const S3TargetSettings& settings, formats::ByteSink& sink,
                                                   formats::ObjectShape shape, const WriterHints& hints);

}  // namespace ferry::s3
