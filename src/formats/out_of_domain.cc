#include "formats/out_of_domain.h"

#include <chrono>

namespace ferry::formats {
namespace {

using model::TypeId;

constexpr std::string_view kEndOfDay = "24:00:00";

constexpr std::int64_t micros_of(std::chrono::year_month_day day, std::chrono::seconds time) {
  return std::chrono::microseconds(std::chrono::sys_days(day).time_since_epoch() + time).count();
}

// Astronomical years: 4713 BC is -4712.
static_assert(kPlusInfinityDatetimeMicros ==
              micros_of(std::chrono::year(9999) / 12 / 31, std::chrono::seconds(86'399)));
static_assert(kMinusInfinityDatetimeMicros ==
              micros_of(std::chrono::year(-4712) / 1 / 1, std::chrono::seconds(0)));

Ruling refuse(std::string_view reason) { return {.action = Ruling::Action::kRefuse, .reason = reason}; }

Ruling as_text(std::string_view text) { return {.action = Ruling::Action::kText, .text = text}; }

// A day of the calendar, though one beyond the canonical form: "294276-12-31 …", "4714-11-24 BC", not
// "infinity" and not MySQL's "0000-00-00".
bool names_a_day(std::string_view text) {
  bool has_year = !text.empty() && text.front() >= '0' && text.front() <= '9';
  return has_year && text.substr(0, text.find(' ')).find("-00") == std::string_view::npos;
}

Ruling rule_datetime(Format format, std::string_view text) {
  bool plus = text == "infinity";
  if (!plus && text != "-infinity") {
    if (format == Format::kCsv && names_a_day(text)) return as_text(text);
    return refuse("The point in time has no form in the target's format.");
  }
  std::string_view warning = plus ? "An infinite timestamp was written as 9999-12-31 23:59:59."
                                  : "A minus infinite timestamp was written as 4713-01-01 00:00:00 BC.";
  if (format == Format::kParquet) {
    return {.action = Ruling::Action::kMicros,
            .micros = plus ? kPlusInfinityDatetimeMicros : kMinusInfinityDatetimeMicros,
            .warning = warning};
  }
  return {.action = Ruling::Action::kText,
          .text = plus ? kPlusInfinityDatetimeText : kMinusInfinityDatetimeText,
          .warning = warning};
}

}  // namespace

Ruling rule_out_of_domain(Format format, const model::LogicalType& type, std::string_view text) {
  switch (type.id) {
    case TypeId::kDatetime: return rule_datetime(format, text);
    case TypeId::kDate:
      if (format == Format::kCsv && names_a_day(text)) return as_text(text);
      return refuse("The date, such as an infinite one, has no form in the target's format.");
    case TypeId::kNumeric: return refuse("NaN and infinity have no decimal form.");
    case TypeId::kTime:
      // A time with an offset loses it here as every other one does.
      if (format == Format::kCsv && text.starts_with(kEndOfDay)) return as_text(kEndOfDay);
      return refuse("The time of day is not below 24 hours, which the target's format cannot hold.");
    default: return refuse("The value has no form in its column's type.");
  }
}

}  // namespace ferry::formats
