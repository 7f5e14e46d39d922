#pragma once

#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>

namespace ferry::base {

// What went wrong, named by side and cause. Each kind has a stable code, printed with every message and
// explained in docs/errors.md, and the exit code of a command that ends with it.
enum class ErrorKind : std::uint8_t {
  kInternal,              // A mistake of Ferry's own.
  kUsage,                 // The command line is wrong.
  kDocumentInvalid,       // A task document cannot be read, or a member has a bad value.
  kSettingUnknown,        // A setting nobody knows.
  kSettingConflict,       // Settings that exclude each other.
  kMappingInvalid,        // A table mapping that AWS DMS would refuse.
  kNoTables,              // The mapping matches no table.
  kUnsupported,           // A thing Ferry does not do, asked for by name.
  kSourceUnreachable,     // No connection to the source can be made.
  kSourceAuthentication,  // The source refuses user or password.
  kSourceTls,             // The source's certificate or TLS handshake is refused.
  kSourceConfiguration,   // The source server is not set up for the work.
  kSourcePrivilege,       // The source user lacks a right.
  kSourceNoSlot,          // The source has no free replication slot or WAL sender.
  kSourceSlotInUse,       // Another process holds the replication slot.
  kSourceSlotLost,        // The replication slot is gone, invalid or does not fit the checkpoint.
  kSourceIdentity,        // The source is not the one that the checkpoint was taken on.
  kSourceConnectionLost,  // An established connection broke; trying again may help.
  kSourceTimeout,         // The source did not answer, or did not let us start, in time.
  kSourceTable,           // One table cannot be read (dropped, changed, forbidden).
  kSourceProtocol,        // The source sent bytes that break its protocol.
  kTargetUnreachable,     // The target cannot be reached.
  kTargetUnwritable,      // The target refuses to be written.
  kTargetFull,            // The target has no room left.
  kTargetForeignObjects,  // Objects Ferry did not make are where a table would go.
  kTargetTable,           // One table cannot be written.
  kTargetAuthentication,  // The target refuses the credentials, or there are none.
  kTargetTls,             // The target's certificate or TLS handshake is refused.
  kTargetConfiguration,   // The target is not what the endpoint says: no such bucket, another region.
  kTargetPrivilege,       // The target user lacks a right.
  kStateMismatch,         // The task's stored state belongs to another definition.
  kStateInUse,            // Another process works on the same task.
  kStateUnusable,         // The task's stored state cannot be read or written.
  kDataError,             // A row error, and the policy says to stop.
  kTableErrors,           // Table errors, and the policy says to stop.
  kStopped,               // The work was asked to stop.
};

// What the engine may do about an error of a kind by itself.
enum class Recovery : std::uint8_t {
  kFatal,        // Nothing: the user must act.
  kRecoverable,  // Try again later, under the task's Recoverable* settings.
  kTable,        // It concerns one table only: TableErrorPolicy decides.
};

struct ErrorKindFacts {
  ErrorKind kind;
  std::string_view code;  // Stable, snake_case, at most 32 characters.
  int exit_code;          // 1 to 125, stable.
  Recovery recovery;
};

// All kinds in the order of the enumeration.
std::span<const ErrorKindFacts> error_kinds();
const ErrorKindFacts& facts_of(ErrorKind kind);

// The one error that ends a piece of work. `message` says what failed and on what, `remedy` what to do next;
// neither holds a row value or a secret. Bad rows are values (model::RowError), never an Error.
class Error : public std::exception {
 public:
  struct Parts {
    std::string message;
    std::string remedy = {};
    std::string vendor_code = {};  // SQLSTATE, errno name, HTTP status … as the other side names it.
  };

  Error(ErrorKind kind, Parts parts);
  Error(ErrorKind kind, std::string message) : Error(kind, Parts{.message = std::move(message)}) {}

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return parts_.message; }
  const std::string& remedy() const { return parts_.remedy; }
  const std::string& vendor_code() const { return parts_.vendor_code; }

  // The same error seen from one layer further out: `context` is put in front of the message.
  Error with_context(std::string_view context) const;

  // "message (vendor code). Remedy." on one line.
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  ErrorKind kind_;
  Parts parts_;
  std::string text_;
};

}  // namespace ferry::base
