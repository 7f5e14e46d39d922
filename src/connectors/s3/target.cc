#include "connectors/s3/target.h"

#include "base/failpoint.h"

namespace ferry::s3 {

std::uint32_t SharedTarget::next_load_number(const model::TableName& table, std::uint64_t load_epoch) {
  std::lock_guard lock(mutex_);
  return ++load_numbers_[{table, load_epoch}];
}

void SharedTarget::publish(StagedObject& object, const connector::ObjectRecord& record) {
  base::failpoint("before_object_intent");
  journal_.intend(record);
  base::failpoint("after_object_intent");
  base::failpoint("before_object_publish");
  object.publish(record.key);
  base::failpoint("after_object_publish");
  base::failpoint("before_object_done");
  journal_.done(record.table, record.key);
  base::failpoint("after_object_done");
}

}  // namespace ferry::s3
