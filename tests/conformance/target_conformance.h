#pragma once

#include <gtest/gtest.h>

#include <map>

#include "tests/conformance/target_fixture.h"
#include "tests/conformance/target_transaction.h"

namespace ferry::conformance {

// The promises of connector/target.h. INSTANTIATE_TEST_SUITE_P(<connector>, TargetConformance, …) runs them
// all.
class TargetConformance : public testing::TestWithParam<TargetCase> {
 protected:
  using Script = std::vector<ScriptedChange>;

  void SetUp() override;

  // --- tables ---

  static model::TableVersionPtr shape(const std::string& table, model::RowIdentity identity,
                                      const std::vector<std::string>& more_columns = {});
  static connector::PrepareRequest prepare_request(const model::TableVersionPtr& table,
                                                   connector::PrepMode mode,
                                                   connector::ForeignObjects foreign);
  void prepare(const model::TableVersionPtr& table,
               connector::PrepMode mode = connector::PrepMode::kDropAndCreate,
               connector::ForeignObjects foreign = connector::ForeignObjects::kRefuse);
  static std::vector<SuiteRow> numbered(std::int32_t from, std::int32_t to);
  std::vector<SuiteRow> rows(const model::TableVersionPtr& table) { return fixture_->rows(table->name); }

  // --- loads ---

  static connector::LoadRequest load_request(const model::TableVersionPtr& table, std::uint64_t epoch);
  // One finished load of one slice; the rows that finish() counted.
  std::int64_t load(const model::TableVersionPtr& table, std::uint64_t epoch,
                    const std::vector<SuiteRow>& rows);

  // --- changes ---

  static ScriptedChange insert(const model::TableVersionPtr& table, SuiteRow row);
  static ScriptedChange update(const model::TableVersionPtr& table, SuiteRow before, SuiteRow after);
  static ScriptedChange remove(const model::TableVersionPtr& table, SuiteRow before);
  static ScriptedChange of_table(model::ChangeKind kind, const model::TableVersionPtr& table);

  // A TargetApply that has recovered from suite_checkpoint(0).
  std::unique_ptr<connector::TargetApply> start_apply(const connector::ApplyRequest& request = {});
  void apply(connector::TargetApply& role, std::uint64_t number, const Script& script);
  // Destroys the roles and the target as a crash does, and opens the next.
  void restart() { target_ = fixture_->open(); }

  std::unique_ptr<TargetFixture> fixture_;
  std::unique_ptr<connector::Target> target_;
  CollectingSink errors_;
  model::TableVersionPtr keyed_;  // Not prepared.
  model::TableVersionPtr full_row_;
};

}  // namespace ferry::conformance
