#include "connectors/s3/object_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "base/error.h"

namespace ferry::s3 {
namespace {

constexpr std::int64_t kMicrosPerMilli = 1000;
constexpr std::string_view kTransactionsPrefix = "CDC_TXN-";
constexpr std::array<std::string_view, 3> kExtensions = {".csv", ".csv.gz", ".parquet"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) { return is_digit(c) || (c >= 'A' && c <= 'F'); }

// The name without one of DMS's extensions; nothing where it has none.
std::optional<std::string_view> stem_of(std::string_view name) {
  for (std::string_view extension : kExtensions) {
    if (name.ends_with(extension)) return name.substr(0, name.size() - extension.size());
  }
  return std::nullopt;
}

bool is_load_stem(std::string_view stem) {
  return stem.size() == 12 && stem.starts_with("LOAD") && std::ranges::all_of(stem.substr(4), is_hex_digit);
}

bool is_change_stem(std::string_view stem) {
  return stem.size() == 18 && stem[8] == '-' && std::ranges::all_of(stem.substr(0, 8), is_digit) &&
         std::ranges::all_of(stem.substr(9), is_digit);
}

bool is_transactions_stem(std::string_view stem) {
  return stem.size() == kTransactionsPrefix.size() + 17 && stem.starts_with(kTransactionsPrefix) &&
         std::ranges::all_of(stem.substr(kTransactionsPrefix.size()), is_digit);
}

int number_in(std::string_view digits) {
  int value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

// "20231231", the separator, "235959123".
std::string time_text(base::UnixMicros time, std::string_view separator) {
  using namespace std::chrono;
  sys_time<milliseconds> instant{milliseconds(time / kMicrosPerMilli)};
  auto day = floor<days>(instant);
  year_month_day date(day);
  hh_mm_ss clock(instant - day);
  return fmt::format("{:04}{:02}{:02}{}{:02}{:02}{:02}{:03}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), separator,
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

// Of "20231231" and "235959123".
base::UnixMicros time_in(std::string_view day, std::string_view clock) {
  using namespace std::chrono;
  year_month_day date{year(number_in(day.substr(0, 4))),
                      month(static_cast<unsigned>(number_in(day.substr(4, 2)))),
                      std::chrono::day(static_cast<unsigned>(number_in(day.substr(6, 2))))};
  auto time = sys_days(date) + hours(number_in(clock.substr(0, 2))) + minutes(number_in(clock.substr(2, 2))) +
              seconds(number_in(clock.substr(4, 2))) + milliseconds(number_in(clock.substr(6, 3)));
  return duration_cast<microseconds>(time.time_since_epoch()).count();
}

void check_component(std::string_view component, const model::TableName& table) {
  bool bad = component.empty() || component == "." || component == ".." ||
             component.find_first_of(std::string_view("/\\\0", 3)) != std::string_view::npos;
  if (!bad) return;
  throw base::Error(
      base::ErrorKind::kTargetTable,
      {.message = fmt::format("the table {} cannot be an object key: '{}' is no name for a folder",
                              model::to_string(table), component),
       .remedy = "Exclude the table by a selection rule."});
}

}  // namespace

std::string table_prefix(std::string_view folder, const model::TableName& table) {
  check_component(table.schema, table);
  check_component(table.table, table);
  return fmt::format("{}{}/{}/", folder, table.schema, table.table);
}

std::string load_name(std::uint32_t number, std::string_view extension) {
  return fmt::format("LOAD{:08X}.{}", number, extension);
}

std::optional<std::uint32_t> number_of_load_name(std::string_view name) {
  std::optional<std::string_view> stem = stem_of(name);
  if (!stem || !is_load_stem(*stem)) return std::nullopt;
  std::uint32_t number = 0;
  std::from_chars(stem->data() + 4, stem->data() + stem->size(), number, 16);
  return number;
}

std::string change_name(base::UnixMicros time, std::string_view extension) {
  return fmt::format("{}.{}", time_text(time, "-"), extension);
}

std::optional<base::UnixMicros> time_of_change_name(std::string_view name) {
  std::optional<std::string_view> stem = stem_of(name);
  if (!stem || !is_change_stem(*stem)) return std::nullopt;
  return time_in(stem->substr(0, 8), stem->substr(9));
}

std::string transactions_name(base::UnixMicros time, std::string_view extension) {
  return fmt::format("{}{}.{}", kTransactionsPrefix, time_text(time, ""), extension);
}

std::optional<base::UnixMicros> time_of_transactions_name(std::string_view name) {
  std::optional<std::string_view> stem = stem_of(name);
  if (!stem || !is_transactions_stem(*stem)) return std::nullopt;
  std::string_view time = stem->substr(kTransactionsPrefix.size());
  return time_in(time.substr(0, 8), time.substr(8));
}

base::UnixMicros next_name_time(base::UnixMicros time, base::UnixMicros last) {
  base::UnixMicros whole = (time + kMicrosPerMilli - 1) / kMicrosPerMilli * kMicrosPerMilli;
  return std::max(whole, last + kMicrosPerMilli);
}

std::string_view name_of(std::string_view key) { return key.substr(key.rfind('/') + 1); }

bool has_dms_form(std::string_view key_below_prefix) {
  std::string_view name = name_of(key_below_prefix);
  std::string_view folder = key_below_prefix.substr(0, key_below_prefix.size() - name.size());
  bool partition =
      std::ranges::all_of(folder, [](char c) { return is_digit(c) || c == '-' || c == '_' || c == '/'; });
  std::optional<std::string_view> stem = stem_of(name);
  if (!partition || !stem) return false;
  return is_change_stem(*stem) || (folder.empty() && (is_load_stem(*stem) || is_transactions_stem(*stem)));
}

}  // namespace ferry::s3
