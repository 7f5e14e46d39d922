#include "tests/support/memory/memory_target.h"

#include "tests/support/memory/memory_apply_objects.h"
#include "tests/support/memory/memory_apply_tables.h"
#include "tests/support/memory/memory_load.h"
#include "tests/support/memory/memory_target_tables.h"

namespace ferry::test_support {

connector::Capabilities MemoryTarget::capabilities() const {
  bool tables = options_.form == TargetForm::kTables;
  return {.atomic_checkpoint = tables, .transactional_ddl = tables, .parallel_slices = true};
}

std::vector<connector::Prerequisite> MemoryTarget::check(std::stop_token stop) {
  return parts_.faults.run("target.check", stop, [] {
    return std::vector<connector::Prerequisite>{{.name = "writable",
                                                 .met = true,
                                                 .seen = "yes",
                                                 .remedy = {},
                                                 .kind = base::ErrorKind::kTargetUnwritable}};
  });
}

std::unique_ptr<connector::TargetTables> MemoryTarget::tables() {
  return std::make_unique<MemoryTargetTables>(parts_);
}

std::unique_ptr<connector::TargetLoad> MemoryTarget::load(const connector::LoadRequest& request) {
  return std::make_unique<MemoryLoad>(parts_, request);
}

std::unique_ptr<connector::TargetApply> MemoryTarget::apply(const connector::ApplyRequest& request) {
  if (options_.form == TargetForm::kTables) return std::make_unique<MemoryApplyTables>(parts_, request);
  return std::make_unique<MemoryApplyObjects>(parts_, request);
}

std::optional<model::RowError> refusal_of(const MemoryTargetParts& parts, const model::TableVersion& table,
                                          const Row& row, std::string key) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!parts.options.refused.contains(row[i].bytes)) continue;
    return model::RowError{table.name, std::move(key), table.columns[i].name, "the target refuses the value"};
  }
  return std::nullopt;
}

}  // namespace ferry::test_support
