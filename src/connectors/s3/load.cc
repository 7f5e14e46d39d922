#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "connectors/s3/object_names.h"
#include "connectors/s3/target.h"

namespace ferry::s3 {
namespace {

using connector::LoadRequest;
using connector::ObjectPhase;

// A row group takes this share of what a load may hold: its pages, and as much again while they are encoded.
constexpr std::int64_t kRowGroupShare = 3;
constexpr std::int64_t kRowGroupBytesMin = 1 << 20;

class S3TargetLoad final : public connector::TargetLoad {
 public:
  S3TargetLoad(std::shared_ptr<SharedTarget> target, LoadRequest request)
      : target_(std::move(target)),
        request_(std::move(request)),
        prefix_(table_prefix(target_->settings().folder, request_.table->name)) {}

  void write(const model::RecordBatch& batch, model::RowErrorSink& errors) override {
    const S3TargetSettings& settings = target_->settings();
    std::optional<base::UnixMicros> timestamp;
    if (settings.use_task_start_time) timestamp = request_.task_start_time;
    formats::ObjectWriter::Rows rows{.batch = batch,
                                     .first = 0,
                                     .bytes_max = settings.load_bytes_max,
                                     .timestamp = timestamp,
                                     .clock = &target_->clock()};
    while (true) {
      if (!writer_) open();
      std::int64_t taken = writer_->write_rows(rows, errors);
      if (taken == model::row_count(batch)) return;
      rows.first = taken;
      close();
    }
  }

  std::int64_t finish() override {
    if (writer_) close();
    return rows_;
  }

 private:
  void open() {
    key_.reset();
    object_ = target_->store().stage(
        {.prefix = prefix_, .key = [this] { return key(); }, .tags = target_->tags(request_.table->name)});
    writer_ = make_writer(
        target_->settings(), *object_, load_shape(target_->settings(), request_.table),
        {.row_group_bytes_max = std::max(kRowGroupBytesMin, request_.memory_bytes_max / kRowGroupShare),
         .rows_estimate = request_.rows_estimate});
  }

  // Of the open object. Taken when it is first needed, so that an object without rows leaves no gap in the
  // numbers.
  const std::string& key() {
    if (!key_) key_ = target_->next_load_key(request_.table->name, request_.load_epoch);
    return *key_;
  }

  void close() {
    std::int64_t rows = writer_->rows();
    if (rows > 0) {
      writer_->finish();
      target_->publish(*object_, {.table = request_.table->name,
                                  .phase = ObjectPhase::kLoad,
                                  .load_epoch = request_.load_epoch,
                                  .key = key(),
                                  .first = {},
                                  .last = {},
                                  .rows = rows,
                                  .done = false});
    }
    rows_ += rows;
    writer_.reset();
    object_.reset();
  }

  const std::shared_ptr<SharedTarget> target_;
  const LoadRequest request_;
  const std::string prefix_;
  std::unique_ptr<StagedObject> object_;
  std::optional<std::string> key_;
  std::unique_ptr<formats::ObjectWriter> writer_;  // Writes into object_.
  std::int64_t rows_ = 0;
};

}  // namespace

std::unique_ptr<connector::TargetLoad> make_load(std::shared_ptr<SharedTarget> target,
                                                 const LoadRequest& request) {
  return std::make_unique<S3TargetLoad>(std::move(target), request);
}

}  // namespace ferry::s3
