#pragma once

#include <array>
#include <cstddef>

#include "connectors/s3/settings.h"
#include "formats/object_writer.h"
#include "model/change_batch.h"

namespace ferry::s3 {

// The rows that one change of a row is in objects: none, one, or two for an update that changes the key.
class ChangeRows {
 public:
  void add(formats::ChangeRow row) { rows_[size_++] = row; }

  bool empty() const { return size_ == 0; }
  const formats::ChangeRow* begin() const { return rows_.data(); }
  const formats::ChangeRow* end() const { return rows_.data() + size_; }

 private:
  std::array<formats::ChangeRow, 2> rows_;
  std::size_t size_ = 0;
};

// What CdcInsertsOnly and CdcInsertsAndUpdates leave of an insert, update or delete. An update that changes
// the key, and every one of a table without a key, is a delete and an insert; for those settings it is an
// update.
ChangeRows rows_of(const model::Change& change, base::UnixMicros commit_time,
                   const S3TargetSettings& settings);

}  // namespace ferry::s3
