#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connector/source.h"
#include "tests/conformance/suite_rows.h"

namespace ferry::conformance {

// Where a connector's source may differ from what most do. Everything the suite leaves out or does otherwise
// for one connector is stated here; the defaults are the common case.
struct SourceQuirks {
  // Truncations are in the log.
  bool captures_truncate = true;
  // A change of a table's shape is a change of its own (kSchemaChange), and not only seen in the rows after
  // it.
  bool captures_schema_changes = true;
  // A table's first change after a start has a kSchemaChange before it, although its shape is the old one.
  bool announces_shapes = false;
  // A table made after the start is captured where the scope selects it.
  bool captures_new_tables = true;
  // Tables without a key may have the whole old row in the log (RowIdentity::kFullRow).
  bool logs_full_rows = true;
  // Resuming may yield again, whole, what committed at or before the transaction that the position is of.
  bool repeats_after_resume = false;
  // A capture that is silent for so long is cut off by the source; 0 = never.
  std::chrono::milliseconds cuts_silent_capture_after{0};
  // How long an idle source may take to send a heartbeat.
  std::chrono::milliseconds heartbeat_within{15000};
};

// One session of a user of the source: what the suite writes to it. Every statement stands between begin()
// and commit() or rollback(); any std::exception is a failed test. Several sessions are open at once, each
// used by one thread.
class SourceSession {
 public:
  virtual ~SourceSession() = default;

  virtual void begin() = 0;
  virtual void insert(const model::TableName& table, const SuiteRow& row) = 0;
  virtual void update(const model::TableName& table, std::int32_t id, const SuiteRow& after) = 0;
  virtual void remove(const model::TableName& table, std::int32_t id) = 0;
  virtual void truncate(const model::TableName& table) = 0;
  // A subtransaction from here on; it ends with the next of the other two.
  virtual void savepoint() = 0;
  virtual void rollback_to_savepoint() = 0;
  virtual void release_savepoint() = 0;
  // Adds a text column that may be null. False when the table's lock is not to be had in time.
  virtual bool add_column(const model::TableName& table, const std::string& column,
                          std::chrono::milliseconds lock_timeout) = 0;
  virtual void create_table(const model::TableName& table, model::RowIdentity identity) = 0;
  virtual void drop_table(const model::TableName& table) = 0;
  virtual void commit() = 0;
  virtual void rollback() = 0;
};

// A source to be tested, empty and running, made anew for every test. What has a default is optional: the
// suite skips what it cannot do.
class SourceFixture {
 public:
  virtual ~SourceFixture() = default;

  virtual const SourceQuirks& quirks() const = 0;

  // A new Source of the same endpoint, as a restart of a task makes one.
  virtual std::unique_ptr<connector::Source> open() = 0;
  // The same endpoint at an address where nothing answers.
  virtual std::unique_ptr<connector::Source> open_unreachable() { return nullptr; }

  virtual std::unique_ptr<SourceSession> session() = 0;
  // A table's name in the schema that the suite may use.
  virtual model::TableName name(const std::string& table) const = 0;
  virtual void create_view(const model::TableName& view, const model::TableName& of) = 0;
  // A parent and its one partition.
  virtual bool create_partitioned(const model::TableName& parent, const model::TableName& leaf) {
    (void)parent, (void)leaf;
    return false;
  }

  // Everything on the source that a capture could have made, whoever made it; in any stable text and order.
  virtual std::vector<std::string> capture_things() = 0;
  // Whether the source knows that this task needs nothing before the position. Nothing where it cannot be
  // asked.
  virtual std::optional<bool> acknowledged(const std::string& task_name,
                                           const model::StreamPosition& position) {
    (void)task_name, (void)position;
    return std::nullopt;
  }
  // The log that the task needs is gone, as after an administrator's mistake.
  virtual bool lose_log(const std::string& task_name) {
    (void)task_name;
    return false;
  }
  // Every connection of the source's clients breaks.
  virtual bool drop_connections() { return false; }
  // Lets the source's time pass: for one on the machine's clock, by waiting.
  virtual void pass_time(std::chrono::milliseconds duration) = 0;
};

// The parameter of SourceConformance: a name for the tests and how to make the fixture.
struct SourceCase {
  std::string name;
  std::function<std::unique_ptr<SourceFixture>()> make;
};
inline void PrintTo(const SourceCase& value, std::ostream* out) {
  *out << value.name;
}  // NOLINT: GoogleTest's name.

}  // namespace ferry::conformance
