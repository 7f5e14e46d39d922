#pragma once

#include "model/stream_position.h"

namespace ferry::model {

// What a restarted capture needs and no more. Every transaction whose commit position is at or before
// `applied_through` is durable on the target; capture resumes at `resume_position`, from which the source
// sends every later transaction. `applied_through` may be a place right behind a commit
// (StreamPosition::just_after()). What single tables have beyond that is in the task's state.
struct Checkpoint {
  StreamIdentity identity;
  StreamPosition resume_position;
  StreamPosition applied_through;
};

}  // namespace ferry::model
