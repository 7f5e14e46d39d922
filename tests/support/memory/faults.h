#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::test_support {

// What an answer that goes wrong looks like to the caller.
enum class Fault : std::uint8_t {
  kFails,          // Nothing was done, and an Error says so.
  kDoesThenFails,  // The work was done, and yet an Error comes back.
  kNeverAnswers,   // Until stop is requested or disarm() is called.
};

// Which calls of an in-memory connector go wrong, by the call's name ("capture.next", "load.write"; each role
// names its calls after its methods). Thread-safe; outlives the connectors that share it.
class Faults {
 public:
  struct Plan {
    std::string call;
    Fault fault = Fault::kFails;
    int passage = 1;  // Counted from arm() on; the first is 1.
    base::Error error = base::Error(base::ErrorKind::kInternal, "an injected fault");
  };

  void arm(Plan plan);
  // No more faults; calls that hang are let go and throw their plan's error.
  void disarm();

  // How often a call was begun, since the beginning.
  int passages(std::string_view call) const;
  // Waits for the call's n-th passage; false when `deadline` passes first.
  bool wait_for_passage(std::string_view call, int n, std::chrono::milliseconds deadline) const;

  // The connectors' side: passes the head of a call. Throws what the armed plan says, or Error(kStopped).
  // Returns the error to throw when the work is done, if there is to be one.
  std::optional<base::Error> pass(std::string_view call, std::stop_token stop = {});

  // Passes `call`, does `work` and throws afterwards where the plan says so.
  template <typename Work>
  auto run(std::string_view call, std::stop_token stop, Work work) {
    auto error = pass(call, stop);
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      if (error) throw base::Error(*error);
    } else {
      auto result = work();
      if (error) throw base::Error(*error);
      return result;
    }
  }

 private:
  struct Armed {
    Plan plan;
    int passages_left;
  };

  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::vector<Armed> armed_;
  std::map<std::string, int, std::less<>> passages_;
  std::uint64_t disarmed_ = 0;
};

}  // namespace ferry::test_support
