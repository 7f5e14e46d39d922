#include "base/clock.h"

namespace ferry::base {
namespace {

class RealClock : public Clock {
 public:
  UnixMicros now() const override {
    using namespace std::chrono;
    return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
  }

  std::chrono::steady_clock::time_point steady_now() const override {
    return std::chrono::steady_clock::now();
  }

  bool wait(std::chrono::milliseconds duration, std::stop_token stop) override {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, duration, [] { return false; });
    return !stop.stop_requested();
  }
};

}  // namespace

Clock& Clock::real() {
  static RealClock clock;
  return clock;
}

UnixMicros ManualClock::now() const {
  std::lock_guard lock(mutex_);
  return micros_;
}

std::chrono::steady_clock::time_point ManualClock::steady_now() const {
  std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::time_point(steady_);
}

bool ManualClock::wait(std::chrono::milliseconds duration, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  auto until = steady_ + duration;
  return moved_.wait(lock, stop, [&] { return steady_ >= until; });
}

void ManualClock::advance(std::chrono::microseconds by) {
  {
    std::lock_guard lock(mutex_);
    steady_ += by;
    micros_ += by.count();
  }
  moved_.notify_all();
}

void ManualClock::set_now(UnixMicros now) {
  std::lock_guard lock(mutex_);
  micros_ = now;
}

}  // namespace ferry::base
