#pragma once

#include <vector>

#include "model/checkpoint.h"
#include "model/transaction.h"
#include "tests/conformance/suite_rows.h"

namespace ferry::conformance {

// Where the suite's n-th transaction commits, and the checkpoint after it; 0 is the stream's start.
model::StreamPosition suite_position(std::uint64_t number);
model::Checkpoint suite_checkpoint(std::uint64_t number);

// One change of a script.
struct ScriptedChange {
  model::ChangeKind kind = model::ChangeKind::kInsert;
  model::TableVersionPtr table;
  std::optional<SuiteRow> before;  // In a keyed table only its id is sent.
  std::optional<SuiteRow> after;
  bool name_not_sent = false;  // The after image leaves the name out.
};

// The suite's n-th transaction, from a script.
class ScriptedTransaction : public model::Transaction {
 public:
  ScriptedTransaction(std::uint64_t number, const std::vector<ScriptedChange>& script);

  const model::TransactionStamp& stamp() const override { return stamp_; }
  bool next(model::Change& change) override { return reader_.next(change); }

 private:
  model::TransactionStamp stamp_;
  model::ChangeBatch batch_;
  model::ChangeReader reader_;
};

}  // namespace ferry::conformance
