#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string_view>

namespace ferry::base {

// DMS's severities in its order; docs/glossary.md has its names for them.
enum class Severity : unsigned char { kError, kWarning, kInfo, kDebug };

// Where log lines go. A line carries time, component, severity and text; never a row value or a secret.
// They may be called from any thread; the two set-up functions only while one thread runs.

// Warnings and errors on standard error, the default.
void log_to_standard_error();
// Everything from kInfo on also into `file`, appended; the parent folder exists.
void log_to_file(const std::filesystem::path& file);

void log_line(Severity severity, std::string_view component, std::string_view text);

// Of warnings and errors that every table may have, standard error gets the first of each `kind`, and then
// where the others are.
inline constexpr int kShownOfAKind = 5;
void log_line_of_kind(Severity severity, std::string_view component, std::string_view kind,
                      std::string_view text);

template <typename... Args>
void log(Severity severity, std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  log_line(severity, component, fmt::format(format, std::forward<Args>(args)...));
}

// A line that every table may have; those of one format are one kind.
template <typename... Args>
void log_for_table(Severity severity, std::string_view component, fmt::format_string<Args...> format,
                   Args&&... args) {
  fmt::string_view kind = format;
  log_line_of_kind(severity, component, {kind.data(), kind.size()},
                   fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void log_info(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  log_line(Severity::kInfo, component, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void log_warning(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  log_line(Severity::kWarning, component, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void log_error(std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  log_line(Severity::kError, component, fmt::format(format, std::forward<Args>(args)...));
}

// DMS's log components (task-log vocabulary of the AWS DMS user guide, "Logging task settings").
inline constexpr std::string_view kSourceUnload = "SOURCE_UNLOAD";
inline constexpr std::string_view kSourceCapture = "SOURCE_CAPTURE";
inline constexpr std::string_view kSorter = "SORTER";
inline constexpr std::string_view kTransformation = "TRANSFORMATION";
inline constexpr std::string_view kTargetLoad = "TARGET_LOAD";
inline constexpr std::string_view kTargetApply = "TARGET_APPLY";
inline constexpr std::string_view kTaskManager = "TASK_MANAGER";
inline constexpr std::string_view kTablesManager = "TABLES_MANAGER";
inline constexpr std::string_view kMetadataManager = "METADATA_MANAGER";

}  // namespace ferry::base
