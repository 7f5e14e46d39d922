#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

namespace ferry::base {

// Microseconds since 1970-01-01 00:00:00 UTC, the one form of a point in time that Ferry stores.
using UnixMicros = std::int64_t;

// Where time comes from, so that tests own it. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual UnixMicros now() const = 0;
  // Never goes back; only differences mean anything.
  virtual std::chrono::steady_clock::time_point steady_now() const = 0;
  // Returns after `duration` of this clock's steady time, or at once when stop is requested; true when the
  // time has passed.
  virtual bool wait(std::chrono::milliseconds duration, std::stop_token stop) = 0;

  // The machine's clock.
  static Clock& real();
};

// A clock that moves only when it is told to. wait() returns when another thread has moved it far enough.
class ManualClock : public Clock {
 public:
  explicit ManualClock(UnixMicros start) : micros_(start) {}

  UnixMicros now() const override;
  std::chrono::steady_clock::time_point steady_now() const override;
  bool wait(std::chrono::milliseconds duration, std::stop_token stop) override;

  void advance(std::chrono::microseconds by);
  // A clock set back or forward: now() jumps, steady_now() does not.
  void set_now(UnixMicros now);

 private:
  mutable std::mutex mutex_;
  std::condition_variable_any moved_;
  UnixMicros micros_;
  std::chrono::microseconds steady_{0};
};

}  // namespace ferry::base
