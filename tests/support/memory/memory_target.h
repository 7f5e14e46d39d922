#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "connector/connector.h"
#include "connector/target.h"
#include "tests/support/memory/faults.h"
#include "tests/support/memory/memory_storage.h"

namespace ferry::test_support {

// What stands on the target.
enum class TargetForm : std::uint8_t {
  kTables,   // Rows and the checkpoint in one step, as in a database.
  kObjects,  // Files of rows, each written whole; the journal remembers them.
};

struct MemoryTargetOptions {
  TargetForm form = TargetForm::kTables;
  std::size_t object_rows_max = 100;          // An object is cut when it holds so many rows.
  std::chrono::milliseconds interval{60000};  // What is accepted becomes durable after this time.
  std::size_t transactions_max = 100;         // kTables: … or when so many transactions are accepted.
  std::set<std::string> refused = {};         // Rows with one of these as a cell's bytes are row errors.
};

// What the roles of a MemoryTarget share. Everything outlives the target.
struct MemoryTargetParts {
  MemoryStorage& storage;
  connector::TargetJournal& journal;
  base::Clock& clock;
  Faults& faults;
  const MemoryTargetOptions& options;
};

// The target connector over a MemoryStorage. Names of calls for Faults: target.check, tables.check,
// tables.prepare, tables.sweep, tables.discard_load, tables.discard_changes, load.write, load.finish,
// apply.recover, apply.apply, apply.advance, apply.tick, apply.flush. A call that never answers does so until
// Faults::disarm().
class MemoryTarget : public connector::Target {
 public:
  MemoryTarget(MemoryStorage& storage, const connector::TargetContext& context, Faults& faults,
               MemoryTargetOptions options = {})
      : options_(std::move(options)), parts_{storage, context.journal, context.clock, faults, options_} {}

  connector::Capabilities capabilities() const override;
  std::vector<connector::Prerequisite> check(std::stop_token stop) override;
  std::unique_ptr<connector::TargetTables> tables() override;
  std::unique_ptr<connector::TargetLoad> load(const connector::LoadRequest& request) override;
  std::unique_ptr<connector::TargetApply> apply(const connector::ApplyRequest& request) override;

 private:
  MemoryTargetOptions options_;
  MemoryTargetParts parts_;
};

// Why a row cannot be carried; nothing when it can. Used by loads and changes alike.
std::optional<model::RowError> refusal_of(const MemoryTargetParts& parts, const model::TableVersion& table,
                                          const Row& row, std::string key);

}  // namespace ferry::test_support
