#pragma once

#include "model/change_batch.h"

namespace ferry::model {

// One committed source transaction, read once from front to back, from memory or from spill; of any size,
// never whole in memory. Used by one thread.
class Transaction {
 public:
  virtual ~Transaction() = default;

  virtual const TransactionStamp& stamp() const = 0;
  // The next row or table change in log order, changes of rolled-back subtransactions left out; false after
  // the last. What `change` points to is valid until the next call.
  virtual bool next(Change& change) = 0;
};

}  // namespace ferry::model
