#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/one_line.h"
#include "base/passwords.h"

namespace ferry::base {
namespace {

std::shared_ptr<spdlog::logger> make_logger() {
  auto console = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  console->set_level(spdlog::level::warn);
  console->set_pattern("ferry: %v");
  auto logger = std::make_shared<spdlog::logger>("ferry", std::move(console));
  logger->set_level(spdlog::level::info);
  logger->flush_on(spdlog::level::info);
  return logger;
}

spdlog::logger& logger() {
  static std::shared_ptr<spdlog::logger> instance = make_logger();
  return *instance;
}

spdlog::level::level_enum level_of(Severity severity) {
  switch (severity) {
    case Severity::kError: return spdlog::level::err;
    case Severity::kWarning: return spdlog::level::warn;
    case Severity::kInfo: return spdlog::level::info;
    case Severity::kDebug: return spdlog::level::debug;
  }
  return spdlog::level::err;
}

char letter_of(Severity severity) { return "EWID"[static_cast<int>(severity)]; }

void write(spdlog::level::level_enum level, Severity severity, std::string_view component,
           std::string_view text) {
  logger().log(level, "[{}]{}: {}", component, letter_of(severity), one_line(hide_password(text)));
}

std::string file_name() {
  auto& sinks = logger().sinks();
  if (sinks.size() < 2) return "the task's log";
  return static_cast<spdlog::sinks::basic_file_sink_mt&>(*sinks.back()).filename();
}

// How many lines of the kind there have been, with this one.
int count_of(std::string_view kind) {
  static std::mutex mutex;
  static std::map<std::string, int, std::less<>> counts;
  std::lock_guard lock(mutex);
  return ++counts[std::string(kind)];
}

}  // namespace

void log_to_standard_error() { logger(); }

void log_to_file(const std::filesystem::path& file) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
  sink->set_level(spdlog::level::info);
  spdlog::pattern_time_type utc = spdlog::pattern_time_type::utc;
  sink->set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S %v", utc));
  auto& sinks = logger().sinks();
  sinks.resize(1);
  sinks.push_back(std::move(sink));
}

void log_line(Severity severity, std::string_view component, std::string_view text) {
  write(level_of(severity), severity, component, text);
}

void log_line_of_kind(Severity severity, std::string_view component, std::string_view kind,
                      std::string_view text) {
  int count = count_of(kind);
  if (count == kShownOfAKind + 1) {
    log(severity, component, "further lines like these are in {} only", file_name());
  }
  // Standard error starts at warnings.
  write(count > kShownOfAKind ? spdlog::level::info : level_of(severity), severity, component, text);
}

}  // namespace ferry::base
