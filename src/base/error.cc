#include "base/error.h"

#include <array>
#include <cassert>
#include <utility>

namespace ferry::base {
namespace {

using enum ErrorKind;

constexpr auto kFatal = Recovery::kFatal;
constexpr auto kRecoverable = Recovery::kRecoverable;
constexpr auto kTable = Recovery::kTable;

// Codes and exit codes are promises to scripts: they are never reused and never renumbered.
constexpr std::array kKinds = {
    ErrorKindFacts{kInternal, "internal", 1, kFatal},
    ErrorKindFacts{kUsage, "usage", 2, kFatal},
    ErrorKindFacts{kDocumentInvalid, "document_invalid", 3, kFatal},
    ErrorKindFacts{kSettingUnknown, "setting_unknown", 4, kFatal},
    ErrorKindFacts{kSettingConflict, "setting_conflict", 5, kFatal},
    ErrorKindFacts{kMappingInvalid, "mapping_invalid", 6, kFatal},
    ErrorKindFacts{kNoTables, "no_tables", 7, kFatal},
    ErrorKindFacts{kUnsupported, "unsupported", 8, kFatal},
    ErrorKindFacts{kSourceUnreachable, "source_unreachable", 20, kRecoverable},
    ErrorKindFacts{kSourceAuthentication, "source_authentication", 21, kFatal},
    ErrorKindFacts{kSourceTls, "source_tls", 22, kFatal},
    ErrorKindFacts{kSourceConfiguration, "source_configuration", 23, kFatal},
    ErrorKindFacts{kSourcePrivilege, "source_privilege", 24, kFatal},
    ErrorKindFacts{kSourceNoSlot, "source_no_slot", 25, kFatal},
    ErrorKindFacts{kSourceSlotInUse, "source_slot_in_use", 26, kFatal},
    ErrorKindFacts{kSourceSlotLost, "source_slot_lost", 27, kFatal},
    ErrorKindFacts{kSourceIdentity, "source_identity", 28, kFatal},
    ErrorKindFacts{kSourceConnectionLost, "source_connection_lost", 29, kRecoverable},
    ErrorKindFacts{kSourceTimeout, "source_timeout", 30, kFatal},
    ErrorKindFacts{kSourceTable, "source_table", 31, kTable},
    ErrorKindFacts{kSourceProtocol, "source_protocol", 32, kFatal},
    ErrorKindFacts{kTargetUnreachable, "target_unreachable", 40, kRecoverable},
    ErrorKindFacts{kTargetUnwritable, "target_unwritable", 41, kFatal},
    ErrorKindFacts{kTargetFull, "target_full", 42, kFatal},
    ErrorKindFacts{kTargetForeignObjects, "target_foreign_objects", 43, kFatal},
    ErrorKindFacts{kTargetTable, "target_table", 44, kTable},
    ErrorKindFacts{kTargetAuthentication, "target_authentication", 45, kFatal},
    ErrorKindFacts{kTargetTls, "target_tls", 46, kFatal},
    ErrorKindFacts{kTargetConfiguration, "target_configuration", 47, kFatal},
    ErrorKindFacts{kTargetPrivilege, "target_privilege", 48, kFatal},
    ErrorKindFacts{kStateMismatch, "state_mismatch", 60, kFatal},
    ErrorKindFacts{kStateInUse, "state_in_use", 61, kFatal},
    ErrorKindFacts{kStateUnusable, "state_unusable", 62, kFatal},
    ErrorKindFacts{kDataError, "data_error", 70, kFatal},
    ErrorKindFacts{kTableErrors, "table_errors", 71, kFatal},
    ErrorKindFacts{kStopped, "stopped", 72, kFatal},
};

constexpr bool in_enumeration_order() {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (static_cast<std::size_t>(kKinds[i].kind) != i) return false;
  }
  return kKinds.size() == static_cast<std::size_t>(kStopped) + 1;
}
static_assert(in_enumeration_order());

std::string one_line(const Error::Parts& parts) {
  std::string text = parts.message;
  if (!parts.vendor_code.empty()) text += " (" + parts.vendor_code + ")";
  if (!parts.remedy.empty()) {
    if (!text.empty() && text.back() != '.') text += '.';
    text += ' ' + parts.remedy;
  }
  return text;
}

}  // namespace

std::span<const ErrorKindFacts> error_kinds() { return kKinds; }

const ErrorKindFacts& facts_of(ErrorKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

Error::Error(ErrorKind kind, Parts parts) : kind_(kind), parts_(std::move(parts)), text_(one_line(parts_)) {}

Error Error::with_context(std::string_view context) const {
  Parts parts = parts_;
  parts.message = std::string(context) + ": " + parts.message;
  return Error(kind_, std::move(parts));
}

}  // namespace ferry::base
