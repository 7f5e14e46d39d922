#include <fmt/format.h>

#include <set>

#include "base/error.h"
#include "base/log.h"
#include "connectors/s3/object_names.h"
#include "connectors/s3/target.h"

namespace ferry::s3 {
namespace {

using base::Error;
using base::ErrorKind;
using connector::ForeignObjects;
using connector::ObjectPhase;
using connector::ObjectRecord;
using connector::PrepareRequest;
using connector::PrepMode;

class S3TargetTables final : public connector::TargetTables {
 public:
  explicit S3TargetTables(std::shared_ptr<SharedTarget> target) : target_(std::move(target)) {}

  void check(const PrepareRequest& request) override {
    if (request.foreign != ForeignObjects::kRefuse) {
      prefix_of(request.table->name);
      // Found before anything is written, rather than by the load.
      bool keeps = request.mode == PrepMode::kDoNothing && request.foreign == ForeignObjects::kKeep;
      if (keeps && !request.changes_only) target_->first_load_key(request.table->name);
      return;
    }
    std::vector<std::string> foreign = foreign_objects(request.table->name);
    if (request.changes_only) {
      std::erase_if(foreign, [](const std::string& key) { return !time_of_change_name(name_of(key)); });
    }
    if (foreign.empty()) return;
    throw Error(
        ErrorKind::kTargetForeignObjects,
        {.message = fmt::format(
             "where the table {} would go are objects that this task's state does not know ({} in all, the "
             "first is {})",
             model::to_string(request.table->name), foreign.size(), foreign.front()),
         .remedy =
             request.changes_only
                 ? "If an earlier run of this task wrote them, name the folder of its state with --state. "
                   "Else "
                   "name another target or move them away; TargetTablePrepMode DO_NOTHING in the task's "
                   "settings "
                   "keeps them beside the task's own."
                 : "If an earlier run of this task wrote them, name the folder of its state with --state. "
                   "Else "
                   "name another target or move them away; --overwrite removes them. In a task document a "
                   "named TargetTablePrepMode decides: DROP_AND_CREATE removes them, DO_NOTHING keeps "
                   "them."});
  }

  void prepare(const PrepareRequest& request) override {
    check(request);
    const model::TableName& table = request.table->name;
    std::string prefix = prefix_of(table);
    if (request.mode != PrepMode::kDoNothing) {
      for (const ObjectRecord& object : target_->journal().objects(table)) {
        target_->remove(object.key);
        target_->journal().forget(table, object.key);
      }
    }
    if (request.foreign == ForeignObjects::kRemove) {
      for (const std::string& key : foreign_objects(table)) target_->store().remove(key);
      std::size_t kept = target_->store().list(prefix).size();
      if (kept > 0) {
        base::log_info(base::kTargetLoad, "{} objects below {} are not of DMS's forms and stay", kept,
                       prefix);
      }
    }
  }

  void sweep(const model::TableName& table) override { target_->store().sweep(prefix_of(table)); }

  void discard_load(const model::TableName& table, std::uint64_t load_epoch) override {
    for (const ObjectRecord& object : target_->journal().objects(table)) {
      if (object.phase == ObjectPhase::kLoad && object.load_epoch == load_epoch) target_->remove(object.key);
    }
    target_->journal().forget_load(table, load_epoch);
  }

  void discard_changes(const model::TableName& table, const model::StreamPosition& commit) override {
    const model::TableName& place = target_->settings().preserves_transactions() ? kAllTables : table;
    for (const ObjectRecord& object : target_->journal().objects(place)) {
      if (object.phase != ObjectPhase::kChanges || object.first.commit != commit) continue;
      target_->remove(object.key);
      target_->journal().forget(place, object.key);
    }
  }

 private:
  std::string prefix_of(const model::TableName& table) const {
    return table_prefix(target_->settings().folder, table);
  }

  // Keys of DMS's forms below the table's prefix that the journal does not list.
  std::vector<std::string> foreign_objects(const model::TableName& table) const {
    std::string prefix = prefix_of(table);
    std::set<std::string> own;
    for (ObjectRecord& object : target_->journal().objects(table)) own.insert(std::move(object.key));
    std::vector<std::string> foreign;
    for (std::string& key : target_->store().list(prefix)) {
      if (has_dms_form(std::string_view(key).substr(prefix.size())) && !own.contains(key)) {
        foreign.push_back(std::move(key));
      }
    }
    return foreign;
  }

  const std::shared_ptr<SharedTarget> target_;
};

}  // namespace

std::unique_ptr<connector::TargetTables> make_tables(std::shared_ptr<SharedTarget> target) {
  return std::make_unique<S3TargetTables>(std::move(target));
}

}  // namespace ferry::s3
