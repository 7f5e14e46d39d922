#include "tests/engine/progress_watch.h"

#include <fmt/format.h>

#include <utility>

namespace ferry::test_support {
namespace {

class WatchedCapture final : public connector::SourceCapture {
 public:
  WatchedCapture(std::unique_ptr<connector::SourceCapture> inner, ProgressWatch& watch)
      : inner_(std::move(inner)), watch_(watch) {}

  connector::CaptureStart prepare(const connector::CaptureScope& scope, std::stop_token stop) override {
    return inner_->prepare(scope, stop);
  }
  void verify(const connector::CaptureScope& scope, const model::Checkpoint& checkpoint,
              std::stop_token stop) override {
    inner_->verify(scope, checkpoint, stop);
  }
  model::StreamPosition current_position(std::stop_token stop) override {
    return inner_->current_position(stop);
  }
  std::int64_t log_bytes_since(const model::StreamPosition& from, std::stop_token stop) override {
    return inner_->log_bytes_since(from, stop);
  }
  std::vector<std::string> created() const override { return inner_->created(); }
  void start(const model::StreamPosition& from, std::stop_token stop) override { inner_->start(from, stop); }
  void next(model::ChangeBatch& batch, std::size_t bytes_max, std::chrono::milliseconds wait,
            std::stop_token stop) override {
    inner_->next(batch, bytes_max, wait, stop);
  }
  void keep_alive() override { inner_->keep_alive(); }
  void acknowledge(const model::StreamPosition& position) override {
    watch_.acknowledged(position);
    inner_->acknowledge(position);
  }
  std::vector<std::string> clean(const connector::CaptureScope& scope, std::stop_token stop) override {
    return inner_->clean(scope, stop);
  }

 private:
  const std::unique_ptr<connector::SourceCapture> inner_;
  ProgressWatch& watch_;
};

class WatchedSource final : public connector::Source {
 public:
  WatchedSource(std::unique_ptr<connector::Source> inner, ProgressWatch& watch)
      : inner_(std::move(inner)), watch_(watch) {}

  std::vector<connector::Prerequisite> check(bool with_capture, std::stop_token stop) override {
    return inner_->check(with_capture, stop);
  }
  std::unique_ptr<connector::SourceCatalog> catalog() override { return inner_->catalog(); }
  std::unique_ptr<connector::SourceUnload> unload() override { return inner_->unload(); }
  std::unique_ptr<connector::SourceCapture> capture(connector::TaskNotes& notes) override {
    return std::make_unique<WatchedCapture>(inner_->capture(notes), watch_);
  }
  std::unique_ptr<connector::SourceLookup> lookup() override { return inner_->lookup(); }
  std::shared_ptr<const model::SnapshotMark> parse_mark(std::string_view text) const override {
    return inner_->parse_mark(text);
  }

 private:
  const std::unique_ptr<connector::Source> inner_;
  ProgressWatch& watch_;
};

class WatchedApply final : public connector::TargetApply {
 public:
  WatchedApply(std::unique_ptr<connector::TargetApply> inner, ProgressWatch& watch)
      : inner_(std::move(inner)), watch_(watch) {}

  std::optional<model::Checkpoint> recover(const model::Checkpoint& local) override {
    return inner_->recover(local);
  }
  void apply(model::Transaction& transaction, const model::Checkpoint& after,
             model::RowErrorSink& errors) override {
    look("apply");
    inner_->apply(transaction, after, errors);
  }
  void advance(const model::Checkpoint& after) override {
    look("advance");
    inner_->advance(after);
  }
  void tick() override {
    look("tick");
    inner_->tick();
  }
  std::chrono::milliseconds tick_interval() const override { return inner_->tick_interval(); }
  void flush() override {
    look("flush");
    inner_->flush();
  }
  model::Checkpoint durable() const override {
    look("durable");
    return inner_->durable();
  }

 private:
  void look(const char* call) const { watch_.stored_only_after(inner_->durable(), call); }

  const std::unique_ptr<connector::TargetApply> inner_;
  ProgressWatch& watch_;
};

class WatchedTarget final : public connector::Target {
 public:
  WatchedTarget(std::unique_ptr<connector::Target> inner, ProgressWatch& watch)
      : inner_(std::move(inner)), watch_(watch) {}

  connector::Capabilities capabilities() const override { return inner_->capabilities(); }
  std::vector<connector::Prerequisite> check(std::stop_token stop) override { return inner_->check(stop); }
  std::unique_ptr<connector::TargetTables> tables() override { return inner_->tables(); }
  std::unique_ptr<connector::TargetLoad> load(const connector::LoadRequest& request) override {
    return inner_->load(request);
  }
  std::unique_ptr<connector::TargetApply> apply(const connector::ApplyRequest& request) override {
    return std::make_unique<WatchedApply>(inner_->apply(request), watch_);
  }

 private:
  const std::unique_ptr<connector::Target> inner_;
  ProgressWatch& watch_;
};

class WatchedConnector final : public connector::Connector {
 public:
  WatchedConnector(std::unique_ptr<connector::Connector> inner, ProgressWatch& watch)
      : inner_(std::move(inner)), watch_(watch) {}

  bool has_role(model::EndpointRole role) const override { return inner_->has_role(role); }
  std::unique_ptr<connector::Source> open_source(const model::Endpoint& endpoint) const override {
    return std::make_unique<WatchedSource>(inner_->open_source(endpoint), watch_);
  }
  std::unique_ptr<connector::Target> open_target(const model::Endpoint& endpoint,
                                                 const connector::TargetContext& context) const override {
    return std::make_unique<WatchedTarget>(inner_->open_target(endpoint, context), watch_);
  }

 private:
  const std::unique_ptr<connector::Connector> inner_;
  ProgressWatch& watch_;
};

}  // namespace

std::unique_ptr<connector::Connector> ProgressWatch::around(std::unique_ptr<connector::Connector> inner) {
  return std::make_unique<WatchedConnector>(std::move(inner), *this);
}

std::vector<std::string> ProgressWatch::violations() const {
  std::lock_guard lock(mutex_);
  return violations_;
}

void ProgressWatch::add(std::string violation) {
  std::lock_guard lock(mutex_);
  violations_.push_back(std::move(violation));
}

void ProgressWatch::stored_only_after(const model::Checkpoint& durable, const char* call) {
  model::Checkpoint stored = *state_.load()->checkpoint();
  if (stored.resume_position <= durable.resume_position) return;
  add(fmt::format("at {}: the checkpoint {} is stored, and the target has answered for {} only", call,
                  stored.resume_position.text(), durable.resume_position.text()));
}

void ProgressWatch::acknowledged(const model::StreamPosition& position) {
  ++acknowledgements_;
  model::Checkpoint stored = *state_.load()->checkpoint();
  if (position <= stored.resume_position) return;
  add(fmt::format("{} is acknowledged, and the stored checkpoint is {}", position.text(),
                  stored.resume_position.text()));
}

}  // namespace ferry::test_support
