#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "connector/source.h"
#include "tests/conformance/source_fixture.h"
#include "tests/conformance/suite_rows.h"

namespace ferry::conformance {

inline constexpr std::chrono::milliseconds kDeadline{30000};

// A change as the suite looks at it.
struct SeenChange {
  model::ChangeKind kind;
  std::uint64_t subtransaction;
  model::TableVersionPtr table;
  std::optional<SuiteRow> before;
  std::optional<SuiteRow> after;
  std::vector<std::string> after_cells;  // In text; empty without an after image.
};

struct SeenTransaction {
  model::TransactionStamp stamp;
  std::vector<SeenChange> changes;

  // Only those of one table.
  std::vector<SeenChange> of(const model::TableName& table) const;
};

// Puts a capture's changes together to transactions, and fails the test where the stream breaks its rules:
// changes outside a transaction, a commit that does not come after the one before, cells that do not fit.
class SourceStream {
 public:
  explicit SourceStream(connector::SourceCapture& capture) : capture_(capture) {}
  // … leaves out the first kSchemaChange of each table, where the source is one that announces shapes.
  SourceStream(connector::SourceCapture& capture, const SourceQuirks& quirks)
      : capture_(capture), leaves_out_announcements_(quirks.announces_shapes) {}

  // Calls next() until `done`; false when the deadline passes first.
  bool read_until(const std::function<bool()>& done, std::chrono::milliseconds deadline = kDeadline);
  // … until a committed transaction has inserted the row.
  bool read_until_row(const model::TableName& table, const SuiteRow& row);
  void read_once(std::chrono::milliseconds wait);

  const std::vector<SeenTransaction>& committed() const { return committed_; }
  // Committed ones that change the table.
  std::vector<SeenTransaction> committed_of(const model::TableName& table) const;
  // The last change of the table that the source found between transactions.
  std::optional<model::ChangeKind> found_between(const model::TableName& table) const {
    auto found = between_.find(table);
    return found == between_.end() ? std::nullopt : std::optional(found->second);
  }
  const std::vector<model::TransactionStamp>& heartbeats() const { return heartbeats_; }
  // The greatest resume position seen so far.
  const model::StreamPosition& resume() const { return resume_; }
  std::size_t batches() const { return batches_; }

 private:
  void take(const model::Change& change);
  void take_change(const model::Change& change);
  void roll_back(const model::Change& change);

  connector::SourceCapture& capture_;
  bool leaves_out_announcements_ = false;
  std::set<model::TableName> announced_;
  std::map<model::TableName, model::ChangeKind> between_;
  std::map<std::uint64_t, std::vector<SeenChange>> open_;
  std::vector<SeenTransaction> committed_;
  std::vector<model::TransactionStamp> heartbeats_;
  model::StreamPosition resume_;
  std::size_t batches_ = 0;
};

}  // namespace ferry::conformance
