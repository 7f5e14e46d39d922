#pragma once

#include <cstdint>
#include <string_view>

#include "model/logical_type.h"

namespace ferry::formats {

// DMS writes PostgreSQL's infinite timestamps as these two points in time (AWS DMS user guide, "Limitations
// on using a PostgreSQL database as a source"). Micros are since 1970-01-01 UTC in the proleptic Gregorian
// calendar.
inline constexpr std::string_view kPlusInfinityDatetimeText = "9999-12-31 23:59:59";
inline constexpr std::int64_t kPlusInfinityDatetimeMicros = 253'402'300'799'000'000;
inline constexpr std::string_view kMinusInfinityDatetimeText = "4713-01-01 00:00:00 BC";
inline constexpr std::int64_t kMinusInfinityDatetimeMicros = -210'863'520'000'000'000;

enum class Format : std::uint8_t { kCsv, kParquet };

// What a format makes of a value without a canonical form.
struct Ruling {
  enum class Action : std::uint8_t {
    kText,    // `text` stands in its place.
    kMicros,  // `micros` does, in a DATETIME's canonical form.
    kRefuse,  // The row is left out: `reason` says why, without the value.
  };

  Action action = Action::kRefuse;
  std::string_view text = {};
  std::int64_t micros = 0;
  std::string_view warning = {};  // For a DataWarning; empty = none.
  std::string_view reason = {};
};

// `text` is the value as the source prints it; the answer may point into it.
Ruling rule_out_of_domain(Format format, const model::LogicalType& type, std::string_view text);

}  // namespace ferry::formats
