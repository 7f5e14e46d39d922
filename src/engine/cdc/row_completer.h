#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "connector/source.h"
#include "engine/cdc/looked_up_values.h"
#include "mapping/transformations.h"
#include "model/transaction.h"

namespace ferry::engine {

// Gives an update's new row the values that the log did not send: from the old row where the log has it, else
// from the source as it is now. A value that neither has stays kNotSent, and the target counts it. For
// targets that write whole rows. Used by one thread.
class RowCompleter {
 public:
  // `values` and `rules` outlive it. The lookup makes its connection when it is first needed. Values are kept
  // under the names that `rules` give to tables on the target.
  RowCompleter(std::unique_ptr<connector::SourceLookup> lookup, LookedUpValues& values,
               const mapping::Transformations& rules, std::stop_token stop);

  // `transaction` and this completer must outlive the result.
  std::unique_ptr<model::Transaction> complete(model::Transaction& transaction);

 private:
  class CompletedTransaction;

  // Fills `after`; what it points to lives in `storage`.
  void fill(const model::Change& change, const connector::ChangePoint& point, std::vector<model::Cell>& after,
            std::vector<std::string>& storage);
  void look_up(const model::Change& change, const std::vector<std::uint32_t>& columns,
               std::vector<model::Cell>& after, std::vector<LookedUpValues::Value>& found);

  std::unique_ptr<connector::SourceLookup> lookup_;
  LookedUpValues& values_;
  const mapping::Transformations& rules_;
  std::stop_token stop_;
  std::uint64_t transaction_ = 0;  // The number of the one that is being completed.
};

}  // namespace ferry::engine
