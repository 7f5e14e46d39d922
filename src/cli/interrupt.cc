#include "cli/interrupt.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

namespace ferry::cli {
namespace {

// timeout(1) sends its signal to the process and to its group: one wish that comes twice.
constexpr timespec kSameWish{.tv_sec = 0, .tv_nsec = 50'000'000};

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

Interrupt::Interrupt() {
  sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::jthread([this](std::stop_token end) { watch(end); });
}

Interrupt::~Interrupt() = default;

void Interrupt::watch(std::stop_token end) {
  sigset_t signals = stop_signals();
  // The wait is short because the end of the process must not wait for a signal.
  const timespec patience{.tv_sec = 0, .tv_nsec = 100'000'000};
  while (!end.stop_requested()) {
    int signal = sigtimedwait(&signals, nullptr, &patience);
    if (signal < 0) continue;
    if (stop_.stop_requested()) {
      ::signal(signal, SIG_DFL);
      pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
      ::kill(::getpid(), signal);
      return;
    }
    ::nanosleep(&kSameWish, nullptr);
    constexpr timespec kNow{};
    while (sigtimedwait(&signals, nullptr, &kNow) > 0) {
    }
    std::fputs("ferry: stopping; what was captured is being written (once more to stop at once)\n", stderr);
    stop_.request_stop();
  }
}

}  // namespace ferry::cli
