#include "connectors/s3/connector.h"

#include "base/error.h"
#include "base/log.h"
#include "connectors/s3/bucket_store.h"
#include "connectors/s3/client.h"
#include "connectors/s3/directory_store.h"
#include "connectors/s3/target.h"

namespace ferry::s3 {
namespace {

class S3Target final : public connector::Target {
 public:
  explicit S3Target(std::shared_ptr<SharedTarget> target) : target_(std::move(target)) {}

  connector::Capabilities capabilities() const override {
    return {
        .atomic_checkpoint = false, .transactional_ddl = false, .parallel_slices = true, .whole_rows = true};
  }

  std::vector<connector::Prerequisite> check(std::stop_token) override {
    const S3TargetSettings& settings = target_->settings();
    target_->store().probe();
    return {{.name = "writable",
             .met = true,
             .required = true,
             .seen = settings.bucket ? settings.bucket->name : settings.directory.string(),
             .remedy = {},
             .kind = base::ErrorKind::kTargetUnwritable}};
  }

  std::unique_ptr<connector::TargetTables> tables() override { return make_tables(target_); }
  std::unique_ptr<connector::TargetLoad> load(const connector::LoadRequest& request) override {
    return make_load(target_, request);
  }
  std::unique_ptr<connector::TargetApply> apply(const connector::ApplyRequest& request) override {
    return make_apply(target_, request);
  }

 private:
  const std::shared_ptr<SharedTarget> target_;
};

class S3Connector final : public connector::Connector {
 public:
  bool has_role(model::EndpointRole role) const override { return role == model::EndpointRole::kTarget; }
  std::unique_ptr<connector::Target> open_target(const model::Endpoint& endpoint,
                                                 const connector::TargetContext& context) const override {
    S3TargetSettings settings = parse_target_settings(endpoint);
    if (context.tags && !settings.bucket) {
      base::log_warning(base::kTaskManager, "the target is a directory: add-tag rules have no effect");
    }
    std::unique_ptr<ObjectStore> store =
        settings.bucket
            ? make_bucket_store(make_client(*settings.bucket, context.stop), context.scratch, settings.folder)
            : make_directory_store(settings.directory);
    return std::make_unique<S3Target>(
        std::make_shared<SharedTarget>(std::move(settings), std::move(store), context));
  }
};

}  // namespace

std::unique_ptr<connector::Connector> make_s3_connector() { return std::make_unique<S3Connector>(); }

}  // namespace ferry::s3
