#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"

namespace date {
class time_zone;
}  // namespace date

namespace ferry::s3 {

// The folders of change objects by the date of their rows' commit: DMS's DatePartitionSequence,
// DatePartitionDelimiter and DatePartitionTimezone (AWS DMS user guide, "Using date-based folder
// partitioning").
class DatePartition {
 public:
  // `sequence` and `delimiter` as the settings spell them: "YYYYMMDDHH", "DASH". `zone` is a name of the IANA
  // database, which is the system's: "Asia/Seoul". Throws Error(kDocumentInvalid) for one that it does not
  // know.
  DatePartition(std::string_view sequence, std::string_view delimiter, const std::string& zone);

  // What a clock in the zone shows, as if it were UTC. Names of objects are made of it too.
  base::UnixMicros local(base::UnixMicros time) const;

  // "2023/01/31/" for a local time.
  std::string folder(base::UnixMicros local_time) const;

 private:
  std::string sequence_;
  std::string delimiter_;
  const date::time_zone* zone_ = nullptr;  // Nothing for UTC. Lives as long as the process.
};

}  // namespace ferry::s3
