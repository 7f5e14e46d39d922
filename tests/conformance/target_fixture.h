#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connector/target.h"
#include "tests/conformance/suite_rows.h"

namespace ferry::conformance {

// Where a connector's target may differ from what most do; the defaults are the common case.
struct TargetQuirks {
  // How long what is accepted may wait for ticks to become durable.
  std::chrono::milliseconds durable_within{60000};
  // A reader sees the columns of the newest shape, with nulls in older rows.
  bool follows_schema_changes = true;
};

// A target to be tested, empty, made anew for every test. What has a default is optional.
class TargetFixture {
 public:
  virtual ~TargetFixture() = default;

  virtual const TargetQuirks& quirks() const = 0;

  // A new Target of the same endpoint and the same task's journal: destroying one without flush() and opening
  // the next is a crash and a restart.
  virtual std::unique_ptr<connector::Target> open() = 0;

  // --- as a reader of the target sees it ---

  // The table's rows, sorted; equal rows as often as they are there. A target of files is read as its user
  // would: loads, then changes in order.
  virtual std::vector<SuiteRow> rows(const model::TableName& table) = 0;
  // The names of the table's columns; empty where there is nothing.
  virtual std::vector<std::string> columns(const model::TableName& table) = 0;
  // Everything on the target and in the journal, as text: equal texts, equal state.
  virtual std::string fingerprint() = 0;
  // Things in the table's place that a killed run left and no reader looks at.
  virtual std::size_t half_written(const model::TableName& table) = 0;
  // Puts there what SIGKILL leaves of a load, where that is more than a destroyed role leaves.
  virtual void leave_half_written(const model::TableName& table) { (void)table; }

  // --- what else may be there ---

  // A table or object of the target's own form, made by nobody's task.
  virtual void put_foreign(const model::TableVersionPtr& table) = 0;
  virtual bool has_foreign(const model::TableName& table) = 0;
  // Something of another form in the same place, where the target can have that.
  virtual bool put_other_form(const model::TableName& table) {
    (void)table;
    return false;
  }
  virtual bool has_other_form(const model::TableName& table) {
    (void)table;
    return false;
  }
  // A name that the target cannot carry, so that its row is an error.
  virtual std::optional<std::string> refused_name() { return std::nullopt; }

  // Lets the clock that the target was given pass.
  virtual void pass_time(std::chrono::milliseconds duration) = 0;
};

struct TargetCase {
  std::string name;
  std::function<std::unique_ptr<TargetFixture>()> make;
};
inline void PrintTo(const TargetCase& value, std::ostream* out) {
  *out << value.name;
}  // NOLINT: GoogleTest's name.

}  // namespace ferry::conformance
