#include "cli/commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "cli/interrupt.h"
#include "cli/progress_printer.h"
#include "cli/source_uri.h"
#include "cli/state_folder.h"
#include "cli/target_uri.h"
#include "engine/replication_task.h"
#include "model/endpoint_settings.h"

namespace ferry::cli {
namespace {

using base::Error;
using base::ErrorKind;
using model::TaskDefinition;

// `ferry copy`'s own defaults where DMS's are poor: larger row groups read faster and compress better.
constexpr std::string_view kCopyRowGroupLength = "122880";
constexpr std::string_view kCopyCodec = "snappy";

constexpr std::string_view kFailOnLobTruncation = "FailTasksOnLobTruncation";
// How large values would come into a database's table.
constexpr std::array<std::string_view, 3> kLobModes = {
    "TargetMetadata.FullLobMode", "TargetMetadata.LobChunkSize", "TargetMetadata.InlineLobMaxSize"};

// A definition with what the commands need beside it.
struct Task {
  TaskDefinition definition;
  mapping::TableMapping mapping;
  std::vector<std::string> warnings;  // What was asked for and has no effect.
  std::filesystem::path state;
  engine::TaskOptions options;
};

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void set(model::Endpoint& endpoint, std::string_view name, std::string_view value) {
  endpoint.settings[lower_case(std::string(name))] = {.name = std::string(name), .value = std::string(value)};
}

// A setting of the source, unless the target has one of that name.
bool is_of_source(std::string_view name, const model::Endpoint& source, const model::Endpoint& target) {
  if (model::find_engine_settings(target.engine_name)->find(name) != nullptr) return false;
  const model::EndpointSettingFacts* facts = model::find_engine_settings(source.engine_name)->find(name);
  return facts != nullptr && facts->type != model::EndpointSettingFacts::Type::kMember;
}

void set_all(const std::vector<std::string>& settings, model::Endpoint& source, model::Endpoint& target) {
  for (const std::string& setting : settings) {
    std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(ErrorKind::kUsage, fmt::format("--set {} is not of the form NAME=VALUE", setting));
    }
    std::string name = setting.substr(0, equals);
    set(is_of_source(name, source, target) ? source : target, name, setting.substr(equals + 1));
  }
}

model::Endpoint copy_target(const CopyArguments& arguments, model::Endpoint& source) {
  model::Endpoint target = parse_target_uri(normal_target_uri(arguments.target));
  set(target, "DataFormat", arguments.format);
  set_all(arguments.settings, source, target);
  auto is_given = [&](std::string_view name) { return target.find_setting(name) != nullptr; };
  if (arguments.format == "parquet") {
    if (!is_given("rowgrouplength")) set(target, "RowGroupLength", kCopyRowGroupLength);
    // Either of the two names a codec.
    if (!is_given("parquetcompression") && !is_given("compressiontype"))
      set(target, "parquetCompression", kCopyCodec);
  }
  return target;
}

// The patterns as the definition's fingerprint keeps them.
std::string patterns_json(std::vector<std::string> patterns) {
  std::ranges::sort(patterns);
  std::string json = "{\"tables\":[";
  for (const std::string& pattern : patterns) {
    if (json.back() != '[') json += ',';
    json += '"';
    for (char c : pattern) {
      if (c == '"' || c == '\\') json += '\\';
      json += c;
    }
    json += '"';
  }
  return json + "]}";
}

engine::TaskOptions options_of(const TaskArguments& arguments) {
  engine::TaskOptions options;
  if (arguments.overwrite) options.foreign_objects = connector::ForeignObjects::kRemove;
  return options;
}

Task copy_task(const CopyArguments& arguments) {
  TaskDefinition definition;
  definition.identifier = "copy";
  definition.migration_type =
      arguments.follow ? model::MigrationType::kFullLoadAndCdc : model::MigrationType::kFullLoad;
  definition.source = parse_source_uri(arguments.source);
  definition.source.identifier = "source";
  definition.target = copy_target(arguments, definition.source);
  definition.table_mappings = patterns_json(arguments.tables);
  // The same bucket's name means another bucket at another service.
  std::string place = normal_target_uri(arguments.target);
  std::string service = definition.target.endpoint_url == place ? "" : definition.target.endpoint_url;
  std::filesystem::path state = arguments.task.state.value_or(
      default_state_folder("copy", {definition.source.server_name, std::to_string(definition.source.port),
                                    definition.source.database_name, service + place, arguments.format}));
  engine::TaskOptions options = options_of(arguments.task);
  options.fail_on_first_contact = true;
  options.load_threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::string> warnings =
      model::SettingReader(definition.source, model::EndpointRole::kSource).warnings();
  std::ranges::copy(model::SettingReader(definition.target, model::EndpointRole::kTarget).warnings(),
                    std::back_inserter(warnings));
  return {.definition = std::move(definition),
          .mapping = mapping::TableMapping::select_all_of(arguments.tables),
          .warnings = std::move(warnings),
          .state = std::move(state),
          .options = options};
}

std::string read_document(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  in.peek();  // A directory can be opened and fails here.
  if (in.fail()) {
    Error::Parts parts{.message = fmt::format("the task document {} cannot be read", path.string()),
                       .remedy = "Check the path and its rights."};
    throw Error(ErrorKind::kUsage, std::move(parts));
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// What a document may ask for and no source can do yet: going on without it would copy other changes than
// asked for.
void refuse_what_is_not_done(const TaskDefinition& definition) {
  auto refuse = [](std::string_view member, std::string_view remedy) {
    throw Error(ErrorKind::kUnsupported,
                {.message = fmt::format("ReplicationTask.{} is not supported", member),
                 .remedy = std::string(remedy)});
  };
  if (!definition.cdc_start_time.empty()) {
    refuse("CdcStartTime",
           "A PostgreSQL source starts at a position: name the slot in SlotName and give CdcStartPosition.");
  }
  if (!definition.cdc_stop_position.empty()) {
    refuse("CdcStopPosition", "Leave it out, and stop the task with SIGTERM.");
  }
}

Task run_task(const RunArguments& arguments) {
  TaskDefinition definition = model::parse_task_document(read_document(arguments.document));
  refuse_what_is_not_done(definition);
  std::vector<std::string> warnings = definition.warnings;
  std::vector<std::string> lob_modes;
  for (const model::StoredOnlySetting& setting : model::stored_only_settings(definition.settings)) {
    // A document with every default in it asks for nothing that does not happen anyway.
    if (setting.is_default) continue;
    if (std::ranges::find(kLobModes, setting.path) != kLobModes.end()) {
      lob_modes.push_back(setting.path);
    } else {
      warnings.push_back(fmt::format("{} has no effect in this version of Ferry", setting.path));
    }
  }
  if (!lob_modes.empty()) {
    warnings.push_back(fmt::format(
        "{} makes no difference: a file has one form for large values, whole where no limit is set",
        fmt::join(lob_modes, ", ")));
  }
  mapping::TableMapping mapping = mapping::TableMapping::parse(
      definition.table_mappings,
      model::has_cdc(definition.migration_type) ? mapping::Views::kLeftOut : mapping::Views::kLoaded);
  const model::EndpointSetting* bucket = definition.target.find_setting("bucketname");
  const model::EndpointSetting* folder = definition.target.find_setting("bucketfolder");
  std::filesystem::path state = arguments.task.state.value_or(default_state_folder(
      "run", {definition.identifier, model::to_string(definition.source), model::to_string(definition.target),
              bucket != nullptr ? bucket->value : "", folder != nullptr ? folder->value : ""}));

  engine::TaskOptions options = options_of(arguments.task);
  if (model::find_engine_settings(definition.source.engine_name) != nullptr) {
    const model::EngineSettings& known = *model::find_engine_settings(definition.source.engine_name);
    bool fails =
        known.find(kFailOnLobTruncation) != nullptr &&
        model::SettingReader(definition.source, model::EndpointRole::kSource).boolean(kFailOnLobTruncation);
    if (fails) options.on_lob_truncation = engine::LobRule::OnTruncation::kFail;
  }
  const model::FullLoadSettings& full_load = definition.settings.full_load;
  options.load_threads = full_load.max_full_load_sub_tasks;
  // Only a document that names the prep mode speaks of objects that Ferry did not make.
  if (!arguments.task.overwrite && definition.settings.named("FullLoadSettings.TargetTablePrepMode")) {
    options.foreign_objects = full_load.target_table_prep_mode == model::TargetTablePrepMode::kDoNothing
                                  ? connector::ForeignObjects::kKeep
                                  : connector::ForeignObjects::kRemove;
  }
  return {.definition = std::move(definition),
          .mapping = std::move(mapping),
          .warnings = std::move(warnings),
          .state = std::move(state),
          .options = options};
}

std::filesystem::path log_of(const Task& task) { return task.state / "logs" / "task.log"; }

std::unique_ptr<engine::TaskState> open_state(const Task& task, const TaskArguments& arguments) {
  refuse_state_in_target(task.state, task.definition.target);
  auto existing =
      arguments.restart ? engine::TaskState::Existing::kRestart : engine::TaskState::Existing::kContinue;
  auto state = engine::TaskState::open(task.state, model::definition_fingerprint(task.definition), existing);
  std::filesystem::path log = log_of(task);
  std::filesystem::create_directories(log.parent_path());
  base::log_to_file(log);
  return state;
}

// A task that ends with a suspended table has not done all that it was asked for.
void refuse_suspended(const engine::TaskResult& result) {
  std::vector<std::string> suspended;
  for (const engine::TableResult& table : result.tables) {
    if (table.phase == engine::TablePhase::kError) suspended.push_back(model::to_string(table.source));
  }
  if (suspended.empty()) return;
  std::size_t count = suspended.size();
  if (count > ProgressPrinter::kSuspendedNamedMax) suspended.resize(ProgressPrinter::kSuspendedNamedMax);
  Error::Parts parts{
      .message = fmt::format("{} of {} tables are suspended: {}{}", count, result.tables.size(),
                             fmt::join(suspended, ", "), count > suspended.size() ? ", …" : ""),
      .remedy =
          "The summary tells why. Mend or exclude them; the next run tries again what was never "
          "loaded, and --restart loads everything anew."};
  throw Error(ErrorKind::kTableErrors, std::move(parts));
}

ProgressPrinter::Numerics numerics_of(const Task& task) {
  const model::EndpointSetting* format = task.definition.target.find_setting("dataformat");
  bool parquet = format != nullptr && lower_case(format->value) == "parquet";
  return parquet ? ProgressPrinter::Numerics::kAsText : ProgressPrinter::Numerics::kAsTheyAre;
}

int execute(const Task& task, const TaskArguments& arguments, const connector::Registry& registry) {
  Interrupt interrupt;
  std::unique_ptr<engine::TaskState> state = open_state(task, arguments);
  for (const std::string& warning : task.warnings) base::log_warning(base::kTaskManager, "{}", warning);
  for (const std::string& note : task.mapping.notes()) base::log_warning(base::kTablesManager, "{}", note);
  ProgressPrinter printer(numerics_of(task), log_of(task));
  engine::ReplicationTask replication(task.definition, task.mapping, registry, *state, printer,
                                      base::Clock::real(), task.options);
  engine::TaskResult result;
  try {
    result = replication.run(interrupt.token());
  } catch (const Error& error) {
    base::log_info(base::kTaskManager, "the task ends with {}: {}", base::facts_of(error.kind()).code,
                   error.what());
    if (error.kind() != ErrorKind::kStopped) throw;
    std::puts("Stopped; the same command goes on from here.");
    return 0;
  }
  printer.print_summary(result);
  refuse_suspended(result);
  return 0;
}

}  // namespace

int copy_command(const CopyArguments& arguments, const connector::Registry& registry) {
  return execute(copy_task(arguments), arguments.task, registry);
}

int run_command(const RunArguments& arguments, const connector::Registry& registry) {
  return execute(run_task(arguments), arguments.task, registry);
}

int clean_command(const CopyArguments& copy, const RunArguments& run, const connector::Registry& registry) {
  Interrupt interrupt;
  Task task = run.document.empty() ? copy_task(copy) : run_task(run);
  if (!std::filesystem::exists(task.state / "state.db")) {
    Error::Parts parts{.message = fmt::format("there is no task state in {}", task.state.string()),
                       .remedy =
                           "Give the same source, target and format as before, or the task's --state folder. "
                           "If the state is lost, drop "
                           "the task's replication slot yourself: its name begins with ferry_."};
    throw Error(ErrorKind::kUsage, std::move(parts));
  }
  {
    std::unique_ptr<engine::TaskState> state = engine::TaskState::open_any(task.state);
    ProgressPrinter printer(numerics_of(task), log_of(task));
    engine::ReplicationTask replication(task.definition, task.mapping, registry, *state, printer,
                                        base::Clock::real(), task.options);
    for (const std::string& line : replication.clean_source(interrupt.token()))
      ProgressPrinter::print("removed " + line);
    replication.clean_target(interrupt.token());
  }
  bool is_gone = remove_state(task.state);
  ProgressPrinter::print("removed the task's state in " + task.state.string());
  if (!is_gone) ProgressPrinter::print("the folder stays: it holds what is not of the task's state");
  return 0;
}

}  // namespace ferry::cli
