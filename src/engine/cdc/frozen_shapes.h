#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/task_context.h"
#include "model/change_batch.h"

namespace ferry::engine {

// Whether the user's own document says ChangeProcessingDdlHandlingPolicy.HandleSourceTableAltered = false: an
// ALTER TABLE of the source does not reach the target, which goes on in the shape that the state keeps for
// the table.
bool keeps_shapes(const model::TaskSettings& settings);

// Changes in the shape that their table had when its copy was taken, or when it was first heard of. A column
// that has gone since is NULL, one that has come is left out, a renamed one is followed where the source
// numbers its columns. A value of another type is carried where that type has a place for exactly it; else
// the change is a row error. Used by one thread.
class FrozenShapes {
 public:
  explicit FrozenShapes(const TaskContext& context)
      : context_(context), keeps_(keeps_shapes(context.definition.settings)) {}

  // Makes the change one of the frozen shape. What it points to is valid until the next call. False: a value
  // cannot be carried, which `errors` has heard of; the change is to be left out.
  bool apply(model::Change& change, model::RowErrorSink& errors);

 private:
  // Where a column of the frozen shape is in the source's.
  struct Place {
    std::optional<std::uint32_t> column;
    bool retypes = false;
  };
  struct Table {
    model::TableVersionPtr target;
    std::vector<Place> places;
    bool names_no_row = false;  // A column of the key is left out.
  };
  // The cells of one image, and the bytes of those that were made anew.
  struct Image {
    std::vector<model::Cell> cells;
    std::vector<std::string> storage;
  };

  const Table& table_of(const model::TableVersionPtr& source);
  // The first column that cannot be carried; nothing when all can.
  std::optional<std::uint32_t> fill(const Table& table, const model::TableVersion& source,
                                    std::span<const model::Cell> cells, Image& image) const;

  const TaskContext& context_;
  const bool keeps_;
  std::map<model::TableVersionPtr, Table> tables_;  // By source version.
  Image before_;
  Image after_;
};

}  // namespace ferry::engine
