#pragma once

#include <array>
#include <string_view>

namespace ferry::base {

// The named places where a test may kill the process: one before and one after every durable write, target
// answer and acknowledgement. FERRY_FAILPOINT=<name>[:<n>] in the environment kills with SIGKILL at the n-th
// passage (default 1). Without the variable a passage costs one comparison.
inline constexpr std::array<std::string_view, 28> kFailpoints = {
    "before_capture_prepared",  "after_capture_prepared",  // What capture needs exists on the source.
    "before_start_stored",      "after_start_stored",      // Where the stream starts is in the state.
    "before_table_loading",     "after_table_loading",     // A table's load epoch and mark are in the state.
    "during_table_load",                                   // Between two batches of rows.
    "before_object_intent",     "after_object_intent",     // Key and cut of an object are in the state.
    "before_object_publish",    "after_object_publish",    // The object is durable under its key.
    "before_object_done",       "after_object_done",       // The state says so.
    "before_table_loaded",      "after_table_loaded",   // The state says that the table's load is complete.
    "before_load_finished",     "after_load_finished",  // … and that of the whole task.
    "before_stream_start",      "after_transaction_applied",  // The target has accepted a transaction.
    "before_checkpoint_stored", "after_checkpoint_stored",    // The checkpoint is in the state.
    "before_acknowledge",       "after_acknowledge",          // The source may forget its log.
    "before_table_change",      "after_table_change",    // What the stream says of a table is in the state.
    "before_object_removal",    "after_object_removal",  // The object is gone, and the state still lists it.
    "before_final_state",
};

// Passes the failpoint `name`, one of kFailpoints. Any thread.
void failpoint(std::string_view name);

}  // namespace ferry::base
