#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "model/table_version.h"

// The names of objects in DMS's layout (AWS DMS user guide, "Using Amazon S3 as a target").
namespace ferry::s3 {

// "schema/table/" below `folder` (which is empty or ends with '/'). Throws Error(kTargetTable) for names that
// no key can hold: with '/', '\' or NUL, or ".", ".." or nothing.
std::string table_prefix(std::string_view folder, const model::TableName& table);

// "LOAD0000000A.csv" for number 10; `extension` has no dot in front.
std::string load_name(std::uint32_t number, std::string_view extension);

// The number a load's name says; nothing for other names.
std::optional<std::uint32_t> number_of_load_name(std::string_view name);

// "20231231-235959123.csv": the time in UTC, cut to milliseconds.
std::string change_name(base::UnixMicros time, std::string_view extension);
// The time a change name says, in microseconds; nothing for other names.
std::optional<base::UnixMicros> time_of_change_name(std::string_view name);

// "CDC_TXN-20231231235959123.csv", likewise, and back: an object with the transactions of all tables.
std::string transactions_name(base::UnixMicros time, std::string_view extension);
std::optional<base::UnixMicros> time_of_transactions_name(std::string_view name);

// The time for the next name of a stream of objects: the first whole millisecond from `time` on that is
// behind `last`.
base::UnixMicros next_name_time(base::UnixMicros time, base::UnixMicros last);

// The part of a key after its last '/'.
std::string_view name_of(std::string_view key);

// Whether a key below a table's prefix, or CdcPath's, is of a form that DMS writes there: LOAD + 8 hex
// digits, CDC_TXN and a time, or a date and time, with one of DMS's extensions, at the prefix; the latter
// also in a date partition's folder of digits, '-', '_' and '/'.
bool has_dms_form(std::string_view key_below_prefix);

}  // namespace ferry::s3
