#include "engine/cdc/applier.h"

#include <utility>

#include "base/failpoint.h"
#include "base/log.h"

namespace ferry::engine {
namespace {

using model::Checkpoint;

// A stored checkpoint costs a write to the disk, and where no object is open every transaction moves it.
constexpr std::chrono::milliseconds kCheckpointInterval{100};

// Its changes in the shapes that are kept and under the LOB rule.
class RuledTransaction final : public model::Transaction {
 public:
  RuledTransaction(model::Transaction& transaction, FrozenShapes& shapes, LobRule& lobs,
                   model::RowErrorSink& errors)
      : transaction_(transaction), shapes_(shapes), lobs_(lobs), errors_(errors) {}

  const model::TransactionStamp& stamp() const override { return transaction_.stamp(); }

  bool next(model::Change& change) override {
    while (transaction_.next(change)) {
      if (!shapes_.apply(change, errors_)) continue;
      lobs_.apply(change, errors_);
      return true;
    }
    return false;
  }

 private:
  model::Transaction& transaction_;
  FrozenShapes& shapes_;
  LobRule& lobs_;
  model::RowErrorSink& errors_;
};

bool is_beyond(const Checkpoint& checkpoint, const Checkpoint& other) {
  return checkpoint.resume_position > other.resume_position ||
         checkpoint.applied_through > other.applied_through;
}

}  // namespace

Applier::Applier(const TaskContext& context, connector::SourceCapture* capture)
    : context_(context),
      capture_(capture),
      whole_rows_(context.target.capabilities().whole_rows),
      // A lookup is short, and what was captured is still applied when stop is requested.
      completer_(context.source.lookup(), context.state.looked_up_values(), context.mapping.transformations(),
                 std::stop_token()),
      shapes_(context),
      lobs_(context.definition.settings, context.mapping, context.on_lob_truncation),
      stored_(*context.state.checkpoint()),
      apply_(context.target.apply(apply_request())) {
  context_.row_errors.store_each_report(context_.target.capabilities().atomic_checkpoint);
  if (std::optional<Checkpoint> own = apply_->recover(stored_)) take_over(std::move(*own));
  accepted_ = stored_;
}

void Applier::apply(model::Transaction& transaction, model::RowErrorSink& errors) {
  // A table change outside any transaction moves nothing on.
  if (transaction.stamp().id != 0) accepted_ = checkpoint_at(transaction.stamp());
  std::unique_ptr<model::Transaction> completed = whole_rows_ ? completer_.complete(transaction) : nullptr;
  // Values are looked up in the source's own shape, and are under the rules too.
  RuledTransaction ruled(completed ? *completed : transaction, shapes_, lobs_, errors);
  apply_->apply(ruled, accepted_, errors);
  base::failpoint("after_transaction_applied");
}

void Applier::advance(const model::TransactionStamp& stamp) {
  accepted_ = checkpoint_at(stamp);
  apply_->advance(accepted_);
}

bool Applier::progress(Store when) {
  apply_->tick();
  auto now = context_.clock.steady_now();
  if (when == Store::kWhenDue && now < checkpoint_due_) return false;
  Checkpoint durable = apply_->durable();
  if (!is_beyond(durable, stored_)) return false;
  checkpoint_due_ = now + kCheckpointInterval;
  ChangeProgress progress = before_checkpoint(durable);
  base::failpoint("before_checkpoint_stored");
  context_.state.set_checkpoint(durable, progress);
  base::failpoint("after_checkpoint_stored");
  stored_ = std::move(durable);
  if (capture_ == nullptr) return true;
  base::failpoint("before_acknowledge");
  capture_->acknowledge(stored_.resume_position);
  base::failpoint("after_acknowledge");
  return true;
}

void Applier::flush() {
  apply_->flush();
  progress(Store::kNow);
}

connector::ApplyRequest Applier::apply_request() const {
  const model::TaskSettings& settings = context_.definition.settings;
  auto asked = [&](std::string_view name, bool value) {
    return value && settings.named(std::string("ChangeProcessingDdlHandlingPolicy.") + std::string(name));
  };
  return {
      .memory_bytes_max = context_.budget.apply,
      .remove_on_truncate =
          asked("HandleSourceTableTruncated", settings.ddl_handling.handle_source_table_truncated),
      .remove_on_drop = asked("HandleSourceTableDropped", settings.ddl_handling.handle_source_table_dropped)};
}

// The target has more than the state knows: a run ended between its answer and the checkpoint.
void Applier::take_over(Checkpoint own) {
  if (own.identity != stored_.identity || own.resume_position < stored_.resume_position) {
    base::log_warning(base::kTargetApply,
                      "the target's own checkpoint at {} of '{}' is not used: the task is at {} of '{}'",
                      own.resume_position.text(), own.identity.text, stored_.resume_position.text(),
                      stored_.identity.text);
    return;
  }
  context_.state.set_checkpoint(own);
  stored_ = std::move(own);
}

Checkpoint Applier::checkpoint_at(const model::TransactionStamp& stamp) const {
  return {
      .identity = stored_.identity,
      .resume_position = stamp.resume_position,
      .applied_through = stamp.commit_position.empty() ? accepted_.applied_through : stamp.commit_position};
}

}  // namespace ferry::engine
