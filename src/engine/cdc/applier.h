#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "connector/source.h"
#include "connector/target.h"
#include "engine/cdc/frozen_shapes.h"
#include "engine/cdc/row_completer.h"
#include "engine/task_context.h"
#include "model/checkpoint.h"
#include "model/transaction.h"

namespace ferry::engine {

// TARGET_APPLY: hands transactions to the target, and is the only place where a checkpoint moves and where
// the source is acknowledged. Used by one thread.
class Applier {
 public:
  // Goes on from the state's checkpoint, or from the target's own where that wins. `capture` is acknowledged;
  // null where no stream runs.
  Applier(const TaskContext& context, connector::SourceCapture* capture);

  // The next transaction in commit order, as the target is to see it.
  void apply(model::Transaction& transaction, model::RowErrorSink& errors);
  // There is nothing up to the stamp's resume position.
  void advance(const model::TransactionStamp& stamp);

  enum class Store : std::uint8_t { kWhenDue, kNow };
  // Does what is due, and stores how far the target is durable. Returns whether a checkpoint was stored.
  bool progress(Store when = Store::kWhenDue);
  // Makes durable what can be, and stores it.
  void flush();

  // Called before a checkpoint is stored; what it returns is stored with it.
  std::function<ChangeProgress(const model::Checkpoint& durable)> before_checkpoint =
      [](const model::Checkpoint&) { return ChangeProgress{}; };

  // What has been accepted, and what of it is durable and stored.
  const model::Checkpoint& accepted() const { return accepted_; }
  const model::Checkpoint& stored() const { return stored_; }
  std::chrono::milliseconds tick_interval() const { return apply_->tick_interval(); }

 private:
  connector::ApplyRequest apply_request() const;
  void take_over(model::Checkpoint own);
  model::Checkpoint checkpoint_at(const model::TransactionStamp& stamp) const;

  const TaskContext& context_;
  connector::SourceCapture* const capture_;
  const bool whole_rows_;
  RowCompleter completer_;
  FrozenShapes shapes_;
  LobRule lobs_;
  model::Checkpoint stored_;
  model::Checkpoint accepted_;
  std::unique_ptr<connector::TargetApply> apply_;
  std::chrono::steady_clock::time_point checkpoint_due_;
};

}  // namespace ferry::engine
