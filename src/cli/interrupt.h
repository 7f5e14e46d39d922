#pragma once

#include <stop_token>
#include <thread>

namespace ferry::cli {

// Turns the first SIGINT or SIGTERM into a stop request, and says so; one that comes after that ends the
// process at once. Made before any other thread, so that the signals reach only this one; one per process.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  void watch(std::stop_token end);

  std::stop_source stop_;
  std::jthread thread_;
};

}  // namespace ferry::cli
