#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/endpoint.h"
#include "model/task_settings.h"

namespace ferry::model {

enum class MigrationType : std::uint8_t { kFullLoad, kCdc, kFullLoadAndCdc };
std::string_view to_string(MigrationType type);  // "full-load-and-cdc"

inline bool has_full_load(MigrationType type) { return type != MigrationType::kCdc; }
inline bool has_cdc(MigrationType type) { return type != MigrationType::kFullLoad; }

// What one replication task is to do: everything `ferry run TASK.json` is told. A value; any thread.
struct TaskDefinition {
  std::string identifier;  // ReplicationTaskIdentifier, lower-case: [a-z][a-z0-9-]{0,254}.
  MigrationType migration_type = MigrationType::kFullLoad;
  Endpoint source;
  Endpoint target;
  std::string table_mappings;  // JSON text.
  TaskSettings settings;
  std::string cdc_start_position;  // As given, without blanks around it; these three are empty where absent.
  std::string cdc_start_time;
  std::string cdc_stop_position;
  std::vector<std::string> warnings;  // What was given and has no effect.
};

// Reads {"SourceEndpoint": …, "TargetEndpoint": …, "ReplicationTask": …}, each in the shape of DMS's Create
// call or of a Describe reply; TableMappings and ReplicationTaskSettings as JSON objects or as strings that
// hold JSON. The table mappings are only checked to be JSON. Throws Error(kDocumentInvalid, kSettingUnknown,
// kSettingConflict).
TaskDefinition parse_task_document(std::string_view json);

// What must not change between two runs of one task, as canonical text: one "name=value" a line, sorted. It
// holds neither password nor user name, nor settings that only tune or take effect at the next start.
std::string definition_fingerprint(const TaskDefinition& definition);

// The names whose lines differ between two fingerprints ("TargetEndpoint.S3Settings.BucketFolder").
std::vector<std::string> differing_parts(std::string_view fingerprint, std::string_view other);

}  // namespace ferry::model
