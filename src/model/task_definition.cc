#include "model/task_definition.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/passwords.h"
#include "model/ascii_text.h"
#include "model/endpoint_document.h"
#include "model/json_document.h"

namespace ferry::model {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::string_view kSource = "SourceEndpoint";
constexpr std::string_view kTarget = "TargetEndpoint";
constexpr std::string_view kTask = "ReplicationTask";

constexpr std::array<std::string_view, 3> kMigrationTypes = {"full-load", "cdc", "full-load-and-cdc"};

// Members of CreateReplicationTask and of DescribeReplicationTasks' ReplicationTask that mean nothing to a
// task run from a file.
constexpr std::string_view kTaskMembersWithoutMeaning[] = {
    "LastFailureMessage",
    "RecoveryCheckpoint",
    "ReplicationInstanceArn",
    "ReplicationTaskArn",
    "ReplicationTaskCreationDate",
    "ReplicationTaskStartDate",
    "ReplicationTaskStats",
    "ResourceIdentifier",
    "SourceEndpointArn",
    "Status",
    "StopReason",
    "Tags",
    "TargetEndpointArn",
    "TargetReplicationInstanceArn",
    "TaskData",
};

constexpr std::size_t kIdentifierBytesMax = 255;

Error invalid(std::string_view path, std::string_view what) {
  return Error(ErrorKind::kDocumentInvalid,
               {.message = fmt::format("{} {}", path, what), .remedy = "Correct the task document"});
}

Error unknown(std::string_view path) {
  return Error(ErrorKind::kSettingUnknown,
               {.message = fmt::format("{} is not known", path),
                .remedy = "Correct its name or remove it from the task document"});
}

const boost::json::object& object_at(const boost::json::object& document, std::string_view name) {
  const auto* value = document.if_contains(boost::json::string_view(name.data(), name.size()));
  if (!value || value->is_null()) throw invalid(name, "is missing");
  if (!value->is_object())
    throw invalid(name, fmt::format("is {}, which is not an object", json_excerpt(*value)));
  return value->get_object();
}

std::string path_of(std::string_view member) { return fmt::format("{}.{}", kTask, member); }

// Its text without blanks around it; empty where absent or null.
std::string text_at(const boost::json::object& task, std::string_view member) {
  const auto* value = task.if_contains(boost::json::string_view(member.data(), member.size()));
  std::string text;
  if (!value || value->is_null()) return text;
  if (!scalar_text(*value, text)) {
    throw invalid(path_of(member), fmt::format("is {}, which is not a text", json_excerpt(*value)));
  }
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// A document inside the document: an object, or a string that holds JSON. Nothing where absent, null or "".
std::optional<std::string> inner_document_at(const boost::json::object& task, std::string_view member) {
  const auto* value = task.if_contains(boost::json::string_view(member.data(), member.size()));
  if (!value || value->is_null()) return std::nullopt;
  if (value->is_object()) return boost::json::serialize(*value);
  const auto* string = value->if_string();
  if (!string) {
    throw invalid(path_of(member), fmt::format("is {}, which is neither an object nor a text that holds JSON",
                                               json_excerpt(*value)));
  }
  if (string->empty()) return std::nullopt;
  parse_json(*string, path_of(member));
  return std::string(*string);
}

// DMS's rule for identifiers.
std::string identifier_at(const boost::json::object& task) {
  constexpr std::string_view kMember = "ReplicationTaskIdentifier";
  std::string identifier = to_lower(text_at(task, kMember));
  if (identifier.empty()) throw invalid(path_of(kMember), "is missing");
  auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  auto is_allowed = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '-'; };
  bool is_valid = identifier.size() <= kIdentifierBytesMax && is_letter(identifier.front()) &&
                  identifier.back() != '-' && identifier.find("--") == std::string::npos &&
                  std::all_of(identifier.begin(), identifier.end(), is_allowed);
  if (is_valid) return identifier;
  throw Error(
      ErrorKind::kDocumentInvalid,
      fmt::format(
          "The parameter {} is not a valid identifier. Identifiers must begin with a letter; must "
          "contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain "
          "two consecutive hyphens.",
          kMember));
}

MigrationType migration_type_at(const boost::json::object& task) {
  constexpr std::string_view kMember = "MigrationType";
  std::string text = text_at(task, kMember);
  if (text.empty())
    throw invalid(path_of(kMember),
                  fmt::format("is missing; it is one of {}", fmt::join(kMigrationTypes, ", ")));
  for (std::size_t i = 0; i < kMigrationTypes.size(); ++i) {
    if (equal_ignoring_case(text, kMigrationTypes[i])) return static_cast<MigrationType>(i);
  }
  throw invalid(path_of(kMember), fmt::format("is {}, which is not one of {}", json_quoted_excerpt(text),
                                              fmt::join(kMigrationTypes, ", ")));
}

void refuse_unknown_members(const boost::json::object& task) {
  constexpr std::string_view kKnown[] = {
      "ReplicationTaskIdentifier", "MigrationType", "TableMappings",  "ReplicationTaskSettings",
      "CdcStartPosition",          "CdcStartTime",  "CdcStopPosition"};
  for (const auto& member : task) {
    auto is_it = [&](std::string_view known) { return known == std::string_view(member.key()); };
    if (std::any_of(std::begin(kKnown), std::end(kKnown), is_it)) continue;
    if (std::any_of(std::begin(kTaskMembersWithoutMeaning), std::end(kTaskMembersWithoutMeaning), is_it))
      continue;
    throw unknown(path_of(member.key()));
  }
}

void read_task(const boost::json::object& task, TaskDefinition& definition) {
  refuse_unknown_members(task);
  definition.identifier = identifier_at(task);
  definition.migration_type = migration_type_at(task);

  auto mappings = inner_document_at(task, "TableMappings");
  if (!mappings) throw invalid(path_of("TableMappings"), "is missing");
  definition.table_mappings = std::move(*mappings);
  if (auto settings = inner_document_at(task, "ReplicationTaskSettings")) {
    definition.settings = parse_task_settings(*settings, UnknownKeys::kRefuse);
  }

  definition.cdc_start_position = text_at(task, "CdcStartPosition");
  definition.cdc_start_time = text_at(task, "CdcStartTime");
  definition.cdc_stop_position = text_at(task, "CdcStopPosition");
  if (!definition.cdc_start_position.empty() && !definition.cdc_start_time.empty()) {
    throw Error(ErrorKind::kSettingConflict,
                {.message = fmt::format("{} and {} are both given", path_of("CdcStartPosition"),
                                        path_of("CdcStartTime")),
                 .remedy = "Give one of them"});
  }
}

Endpoint read_endpoint_of(const boost::json::object& document, std::string_view name, EndpointRole role,
                          std::vector<std::string>& warnings) {
  object_at(document, name);
  auto read = read_endpoint(document.at(boost::json::string_view(name.data(), name.size())), name, role);
  warnings.insert(warnings.end(), read.warnings.begin(), read.warnings.end());
  return std::move(read.endpoint);
}

void append_endpoint(const Endpoint& endpoint, std::string_view name, EndpointRole role,
                     std::vector<std::string>& lines) {
  auto add = [&](std::string_view member, std::string_view value) {
    if (!value.empty()) lines.push_back(fmt::format("{}.{}={}", name, member, json_quoted(value)));
  };
  add("EngineName", endpoint.engine_name);
  add("ServerName", endpoint.server_name);
  if (endpoint.port != 0) add("Port", std::to_string(endpoint.port));
  add("DatabaseName", endpoint.database_name);
  // It is stored, and a URL may have a password where none belongs.
  add("EndpointUrl", base::hide_password(endpoint.endpoint_url));

  const auto* engine = find_engine_settings(endpoint.engine_name);
  if (!engine) return;
  for (const auto& line : SettingReader(endpoint, role).fixed_between_runs()) {
    lines.push_back(fmt::format("{}.{}.{}", name, engine->block, line));
  }
}

std::string canonical_mappings(std::string_view json) {
  return canonical_json(parse_json(json, path_of("TableMappings")));
}

// The lines of a fingerprint by name.
std::map<std::string_view, std::string_view> lines_of(std::string_view fingerprint) {
  std::map<std::string_view, std::string_view> lines;
  while (!fingerprint.empty()) {
    auto end = fingerprint.find('\n');
    auto line = fingerprint.substr(0, end);
    fingerprint.remove_prefix(end == std::string_view::npos ? fingerprint.size() : end + 1);
    auto equals = line.find('=');
    lines[line.substr(0, equals)] = equals == std::string_view::npos ? "" : line.substr(equals + 1);
  }
  return lines;
}

}  // namespace

std::string_view to_string(MigrationType type) { return kMigrationTypes[static_cast<std::size_t>(type)]; }

TaskDefinition parse_task_document(std::string_view json) {
  auto parsed = parse_json(json, "the task document");
  const auto* document = parsed.if_object();
  if (!document) throw invalid("the task document", "is not a JSON object");
  for (const auto& member : *document) {
    std::string_view key = member.key();
    if (key != kSource && key != kTarget && key != kTask) throw unknown(key);
  }

  TaskDefinition definition;
  read_task(object_at(*document, kTask), definition);
  definition.source = read_endpoint_of(*document, kSource, EndpointRole::kSource, definition.warnings);
  definition.target = read_endpoint_of(*document, kTarget, EndpointRole::kTarget, definition.warnings);
  return definition;
}

std::string definition_fingerprint(const TaskDefinition& definition) {
  std::vector<std::string> lines = {
      fmt::format("{}={}", path_of("ReplicationTaskIdentifier"), json_quoted(definition.identifier)),
      fmt::format("{}={}", path_of("MigrationType"), json_quoted(to_string(definition.migration_type))),
      fmt::format("{}={}", path_of("TableMappings"), canonical_mappings(definition.table_mappings)),
  };
  for (const auto& line : settings_fixed_between_runs(definition.settings)) {
    lines.push_back(path_of("ReplicationTaskSettings." + line));
  }
  append_endpoint(definition.source, kSource, EndpointRole::kSource, lines);
  append_endpoint(definition.target, kTarget, EndpointRole::kTarget, lines);
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}\n", fmt::join(lines, "\n"));
}

std::vector<std::string> differing_parts(std::string_view fingerprint, std::string_view other) {
  auto lines = lines_of(fingerprint);
  auto other_lines = lines_of(other);
  std::vector<std::string> names;
  for (const auto& [name, value] : lines) {
    auto found = other_lines.find(name);
    if (found == other_lines.end() || found->second != value) names.emplace_back(name);
  }
  for (const auto& [name, value] : other_lines) {
    if (!lines.contains(name)) names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace ferry::model
