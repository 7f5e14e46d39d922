#include "engine/tables_manager.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/log.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;
using model::TableName;

}  // namespace

std::vector<TableName> select_tables(const TaskContext& context, std::stop_token stop) {
  std::vector<mapping::ListedTable> listed;
  std::vector<TableName> selected;
  for (connector::CatalogTable& table : context.source.catalog()->tables(stop)) {
    listed.push_back({.name = table.name, .kind = table.kind});
    if (context.mapping.selects(table.name, table.kind)) selected.push_back(std::move(table.name));
  }
  for (const std::string& line : context.mapping.unmatched_rules(listed)) {
    base::log_warning(base::kTablesManager, "{}", line);
  }
  if (selected.empty() && context.definition.settings.error_behavior.fail_on_no_tables_captured) {
    throw Error(
        ErrorKind::kNoTables,
        {.message = fmt::format("the table mappings select none of the {} tables of {}", listed.size(),
                                model::to_string(context.definition.source)),
         .remedy = "Check the schema and table names in the selection rules; names are case-sensitive. A "
                   "partitioned table "
                   "is chosen by the names of its partitions, and a view only by a rule with table-type."});
  }
  std::ranges::sort(selected, {}, [&](const TableName& name) {
    return std::tuple(-context.mapping.load_order(name), name.table, name.schema);
  });
  return selected;
}

connector::PrepMode prep_mode(const TaskContext& context) {
  switch (context.definition.settings.full_load.target_table_prep_mode) {
    case model::TargetTablePrepMode::kDoNothing: return connector::PrepMode::kDoNothing;
    case model::TargetTablePrepMode::kTruncateBeforeLoad: return connector::PrepMode::kTruncateBeforeLoad;
    case model::TargetTablePrepMode::kDropAndCreate: break;
  }
  return connector::PrepMode::kDropAndCreate;
}

TableName target_name(const TaskContext& context, const TableName& source) {
  return context.mapping.transformations().target_name(source);
}

model::TableVersionPtr target_version(const TaskContext& context, const model::TableVersionPtr& source) {
  return LobRule(context.definition.settings, context.mapping, context.on_lob_truncation)
      .target_version(source);
}

void suspend_table(const TaskContext& context, TableState table, std::string_view error) {
  table.phase = TablePhase::kError;
  table.error = error;
  context.state.set_table(table);
  context.observer.table_failed(table.source, error);
  base::log_for_table(base::Severity::kError, base::kTablesManager, "table {} is suspended: {}",
                      model::to_string(table.source), error);

  const model::ErrorBehavior& behavior = context.definition.settings.error_behavior;
  std::int64_t limit = behavior.table_error_escalation_count;
  std::int64_t failed = std::ranges::count(context.state.tables(), TablePhase::kError, &TableState::phase);
  if (behavior.table_error_policy == model::ErrorAction::kStopTask || (limit > 0 && failed >= limit)) {
    throw Error(
        ErrorKind::kTableErrors,
        {.message = fmt::format("the task stops after {} table errors, the last in {}: {}", failed,
                                model::to_string(table.source), error),
         .remedy = "Mend or exclude the table; TableErrorPolicy SUSPEND_TABLE lets the others go on."});
  }
}

}  // namespace ferry::engine
