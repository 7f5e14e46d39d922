#include "connectors/s3/date_partition.h"

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "base/error.h"

namespace ferry::s3 {
namespace {

using std::chrono::microseconds;

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kDelimiters = {
    {{"SLASH", "/"}, {"UNDERSCORE", "_"}, {"DASH", "-"}, {"NONE", ""}}};

const date::time_zone* find_zone(const std::string& name) {
  // The default needs no database.
  if (name == "UTC") return nullptr;
  try {
    return date::locate_zone(name);
  } catch (const std::runtime_error&) {
    throw base::Error(
        base::ErrorKind::kDocumentInvalid,
        {.message = fmt::format("DatePartitionTimezone '{}' is not in the system's time zone database", name),
         .remedy = "Give an Area/Location such as Asia/Seoul; Debian's database is the package tzdata."});
  }
}

}  // namespace

DatePartition::DatePartition(std::string_view sequence, std::string_view delimiter, const std::string& zone)
    : sequence_(sequence),
      delimiter_(
          std::ranges::find(kDelimiters, delimiter, &decltype(kDelimiters)::value_type::first)->second),
      zone_(find_zone(zone)) {}

base::UnixMicros DatePartition::local(base::UnixMicros time) const {
  if (zone_ == nullptr) return time;
  return zone_->to_local(date::sys_time<microseconds>(microseconds(time))).time_since_epoch().count();
}

std::string DatePartition::folder(base::UnixMicros local_time) const {
  date::sys_time<microseconds> instant{microseconds(local_time)};
  auto day = date::floor<date::days>(instant);
  date::year_month_day date(day);
  auto hour = std::chrono::duration_cast<std::chrono::hours>(instant - day).count();

  std::string folder;
  for (std::string_view rest = sequence_; !rest.empty();) {
    if (!folder.empty()) folder += delimiter_;
    std::size_t length = rest.front() == 'Y' ? 4 : 2;
    switch (rest.front()) {
      case 'Y': folder += fmt::format("{:04}", static_cast<int>(date.year())); break;
      case 'M': folder += fmt::format("{:02}", static_cast<unsigned>(date.month())); break;
      case 'D': folder += fmt::format("{:02}", static_cast<unsigned>(date.day())); break;
      default: folder += fmt::format("{:02}", hour);
    }
    rest.remove_prefix(length);
  }
  return folder + '/';
}

}  // namespace ferry::s3
