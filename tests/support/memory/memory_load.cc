#include "tests/support/memory/memory_load.h"

#include <fmt/format.h>

#include "tests/support/memory/record_batch_rows.h"

namespace ferry::test_support {

void MemoryLoad::write(const model::RecordBatch& batch, model::RowErrorSink& errors) {
  parts_.faults.run("load.write", {}, [&] {
    std::vector<Row> accepted;
    for (Row& row : rows_of(batch)) {
      auto refusal = refusal_of(parts_, *request_.table, row, place_of(row));
      ++rows_seen_;
      if (refusal) {
        errors.row_error(*refusal);
      } else {
        accepted.push_back(std::move(row));
      }
    }
    rows_written_ += static_cast<std::int64_t>(accepted.size());
    if (parts_.options.form == TargetForm::kTables) {
      parts_.storage.stage({request_.table->name, request_.load_epoch, request_.slice}, std::move(accepted));
      return;
    }
    for (Row& row : accepted) {
      if (open_key_.empty()) begin_object();
      open_.rows.push_back({{.table = request_.table, .before = {}, .after = std::move(row)}, {}});
      if (open_.rows.size() >= parts_.options.object_rows_max) complete_object();
    }
    if (!open_key_.empty()) put_open_object();
  });
}

std::int64_t MemoryLoad::finish() {
  return parts_.faults.run("load.finish", {}, [&] {
    if (parts_.options.form == TargetForm::kObjects) {
      if (!open_key_.empty()) complete_object();
      return rows_written_;
    }
    auto refused =
        parts_.storage.publish({request_.table->name, request_.load_epoch, request_.slice}, *request_.table);
    if (!refused.empty()) {
      throw base::Error(base::ErrorKind::kTargetTable,
                        fmt::format("{}: {} rows have a key that is there already",
                                    to_string(request_.table->name), refused.size()));
    }
    return rows_written_;
  });
}

std::string MemoryLoad::place_of(const Row& row) const {
  if (request_.table->identity == model::RowIdentity::kKey) return printed_key(*request_.table, row);
  return fmt::format("row {} of slice {}", rows_seen_ + 1, request_.slice);
}

void MemoryLoad::begin_object() {
  open_key_ = fmt::format("{}load-{:08}-{:04}-{:06}{}", MemoryStorage::folder_of(request_.table->name),
                          request_.load_epoch, request_.slice, next_object_++, MemoryStorage::kOwnForm);
  open_ = {};
  connector::ObjectRecord intent;
  intent.table = request_.table->name;
  intent.load_epoch = request_.load_epoch;
  intent.key = open_key_;
  parts_.journal.intend(intent);
}

// What a crash leaves: an object that nobody reads.
void MemoryLoad::put_open_object() { parts_.storage.put_object(open_key_, open_); }

void MemoryLoad::complete_object() {
  put_open_object();
  parts_.storage.complete_object(open_key_);
  parts_.journal.done(request_.table->name, open_key_);
  open_key_.clear();
}

}  // namespace ferry::test_support
