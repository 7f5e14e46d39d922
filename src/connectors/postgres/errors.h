#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::postgres {

// What the server or libpq said. Only the primary message is ever kept: DETAIL and CONTEXT may hold row
// values.
struct ServerReport {
  std::string sqlstate;  // Five characters (PostgreSQL manual, appendix A); empty when there is none.
  std::string message;
};

// What a statement's failure is about.
enum class Concern : std::uint8_t {
  kWork,   // The whole work.
  kTable,  // The one table being described or read: the others can go on.
};

// The error of a statement that the server refused; `doing` completes "cannot …".
base::Error statement_error(const ServerReport& report, std::string_view doing, Concern concern);

// The SQLSTATEs that callers decide upon.
namespace sqlstate {
inline constexpr std::string_view kLockNotAvailable = "55P03";
inline constexpr std::string_view kObjectInUse = "55006";
inline constexpr std::string_view kUndefinedObject = "42704";
inline constexpr std::string_view kQueryCanceled = "57014";
inline constexpr std::string_view kInsufficientPrivilege = "42501";
inline constexpr std::string_view kUndefinedFile = "58P01";
inline constexpr std::string_view kInternalError = "XX000";
}  // namespace sqlstate

// The error of a connection that was not made. `libpq_message` is PQerrorMessage() of a connection whose
// errors are verbose, so that it holds the SQLSTATE where the server answered.
base::Error connect_error(std::string_view libpq_message, std::string_view where);

}  // namespace ferry::postgres
