#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "aws/http.h"
#include "base/clock.h"
#include "base/error.h"

// For tests: answers from a list, and a clock whose waits are over at once.
namespace ferry::aws {

class ScriptedHttp final : public Http {
 public:
  // A request as it was sent, with its body.
  struct Sent {
    HttpRequest request;
    std::string body;

    std::string header(const std::string& name) const {
      for (const auto& [each, value] : request.headers) {
        if (each == name) return value;
      }
      return {};
    }
    std::string query() const { return canonical_query(request); }
  };

  void answer(int status, std::string body = {},
              std::map<std::string, std::string, std::less<>> headers = {}) {
    script_.emplace_back(
        HttpResponse{.status = status, .headers = std::move(headers), .body = std::move(body)});
  }
  void answer_error(int status, const std::string& code,
                    std::map<std::string, std::string, std::less<>> headers = {}) {
    answer(status, "<Error><Code>" + code + "</Code><Message>scripted</Message></Error>", std::move(headers));
  }
  void break_connection() {
    script_.emplace_back(base::Error(base::ErrorKind::kTargetUnreachable, "the connection broke"));
  }

  HttpResponse send(const HttpRequest& request, std::stop_token) override {
    std::lock_guard lock(mutex_);
    sent.push_back({request, std::string(request.body)});
    sent.back().request.body = {};
    if (script_.empty())
      throw std::logic_error("nobody scripted an answer to " + request.method + " " + request.path);
    auto next = std::move(script_.front());
    script_.pop_front();
    if (auto* error = std::get_if<base::Error>(&next)) throw *error;
    return std::get<HttpResponse>(std::move(next));
  }

  bool done() const { return script_.empty(); }

  std::vector<Sent> sent;

 private:
  std::mutex mutex_;
  std::deque<std::variant<HttpResponse, base::Error>> script_;
};

class SkippingClock final : public base::ManualClock {
 public:
  using base::ManualClock::ManualClock;

  bool wait(std::chrono::milliseconds duration, std::stop_token stop) override {
    if (stop.stop_requested()) return false;
    waits.push_back(duration);
    advance(duration);
    return true;
  }

  std::vector<std::chrono::milliseconds> waits;
};

}  // namespace ferry::aws
