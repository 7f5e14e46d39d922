#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace ferry::base {

// The one queue between two threads, bounded by the bytes of what is in it. One item larger than the bound is
// let in when the queue is empty, so that no item can block for ever. An error handed over with close() comes
// out of pop() after the items before it.
template <typename T>
class Channel {
 public:
  explicit Channel(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  enum class Pushed { kYes, kTimedOut, kClosed };

  // Waits for room for at most `timeout`. `item` is moved from only when the answer is kYes. kClosed also
  // means that stop was requested.
  Pushed push(T& item, std::size_t bytes, std::chrono::milliseconds timeout, std::stop_token stop) {
    std::unique_lock lock(mutex_);
    bool in_time = room_.wait_for(lock, stop, timeout,
                                  [&] { return closed_ || items_.empty() || bytes_ + bytes <= bytes_max_; });
    if (closed_ || stop.stop_requested()) return Pushed::kClosed;
    if (!in_time) return Pushed::kTimedOut;
    items_.push_back({std::move(item), bytes});
    bytes_ += bytes;
    lock.unlock();
    filled_.notify_one();
    return Pushed::kYes;
  }

  // The next item; nothing when `timeout` passed, stop was requested, or the channel is closed and drained
  // (then drained() is true). Throws the error given to close() once the items before it are taken.
  std::optional<T> pop(std::chrono::milliseconds timeout, std::stop_token stop) {
    std::unique_lock lock(mutex_);
    filled_.wait_for(lock, stop, timeout, [&] { return closed_ || !items_.empty(); });
    if (items_.empty()) {
      if (closed_ && error_) std::rethrow_exception(error_);
      return std::nullopt;
    }
    std::optional<T> item(std::move(items_.front().item));
    bytes_ -= items_.front().bytes;
    items_.pop_front();
    lock.unlock();
    room_.notify_all();
    return item;
  }

  // No more items come. Repeating it changes nothing.
  void close(std::exception_ptr error = nullptr) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return;
      closed_ = true;
      error_ = std::move(error);
    }
    filled_.notify_all();
    room_.notify_all();
  }

  bool drained() const {
    std::lock_guard lock(mutex_);
    return closed_ && items_.empty();
  }

  std::size_t bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  struct Held {
    T item;
    std::size_t bytes;
  };

  const std::size_t bytes_max_;
  mutable std::mutex mutex_;
  std::condition_variable_any room_;
  std::condition_variable_any filled_;
  std::deque<Held> items_;
  std::size_t bytes_ = 0;
  bool closed_ = false;
  std::exception_ptr error_;
};

}  // namespace ferry::base
