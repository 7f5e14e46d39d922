#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <thread>

#include "aws/http.h"
#include "base/error.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;

// Long enough that a client which does not give up by itself is found out, and not hung.
constexpr int kDrops = 300;
constexpr std::chrono::milliseconds kDropInterval{50};
constexpr std::chrono::milliseconds kPatience = kDrops * kDropInterval;

// Takes one connection on a port of its own.
class Peer {
 public:
  explicit Peer(std::function<void(int connection)> serve) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this, serve = std::move(serve)] {
      int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      serve(connection);
      ::close(connection);
    });
  }
  ~Peer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_ = {};
    ::close(listener_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  HostAddress address(bool tls) const { return {.tls = tls, .host = "127.0.0.1", .port = port_}; }

 private:
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::jthread thread_;
};

void take(int connection) {
  std::array<char, 4096> bytes{};
  EXPECT_GT(::recv(connection, bytes.data(), bytes.size(), 0), 0);
}

bool give(int connection, std::string_view bytes) {
  return ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0;
}

// Whether the other side says something or closes.
bool is_heard(int connection, std::chrono::milliseconds patience) {
  pollfd one{.fd = connection, .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, static_cast<int>(patience.count())) > 0;
}

Error error_of(const HttpOptions& options, const HttpRequest& request, std::stop_token stop = {}) {
  try {
    make_http(options)->send(request, std::move(stop));
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorKind::kInternal, "none");
}

// A load balancer that restarts says nothing about its certificate.
TEST(CurlHttp, AHandshakeThatIsCutMayPass) {
  for (bool reset : {true, false}) {
    Peer peer([reset](int connection) {
      take(connection);
      linger hard{.l_onoff = reset ? 1 : 0, .l_linger = 0};
      ::setsockopt(connection, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    });
    Error error = error_of({}, {.method = "GET", .address = peer.address(true)});
    EXPECT_EQ(error.kind(), ErrorKind::kTargetUnreachable) << error.what();
  }
}

TEST(CurlHttp, APeerThatSpeaksNoTlsDoesNotPass) {
  Peer peer([](int connection) {
    take(connection);
    give(connection, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    is_heard(connection, kPatience);
  });
  Error error = error_of({}, {.method = "GET", .address = peer.address(true)});
  EXPECT_EQ(error.kind(), ErrorKind::kTargetTls) << error.what();
}

TEST(CurlHttp, SendsNoHeaderWithALineBreak) {
  HttpRequest request{.method = "GET", .address = {.tls = false, .host = "127.0.0.1", .port = 1}};
  for (const char* value : {"geheim\r\nx: y", "geheim\n", "\x01geheim"}) {
    request.headers = {{"authorization", value}};
    Error error = error_of({}, request);
    EXPECT_EQ(error.kind(), ErrorKind::kTargetAuthentication) << error.what();
    EXPECT_NE(error.message().find("authorization"), std::string::npos) << error.what();
    EXPECT_EQ(error.message().find("geheim"), std::string::npos) << error.what();
  }
}

TEST(CurlHttp, GivesUpWhereNothingMoves) {
  Peer peer([](int connection) {
    take(connection);
    if (!is_heard(connection, kPatience)) give(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  Error error = error_of({.stall_max = std::chrono::milliseconds(1)},
                         {.method = "GET", .address = peer.address(false)});
  EXPECT_EQ(error.kind(), ErrorKind::kTargetUnreachable);
  EXPECT_NE(error.message().find("nothing moved"), std::string::npos) << error.what();
}

TEST(CurlHttp, AStopEndsAlsoATransferThatMoves) {
  Peer peer([](int connection) {
    take(connection);
    give(connection, "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kDrops) + "\r\n\r\n");
    for (int i = 0; i < kDrops && give(connection, ".") && !is_heard(connection, kDropInterval);) ++i;
  });
  std::stop_source stop;
  stop.request_stop();
  Error error = error_of({.after_stop_max = std::chrono::milliseconds(1)},
                         {.method = "GET", .address = peer.address(false)}, stop.get_token());
  EXPECT_EQ(error.kind(), ErrorKind::kTargetUnreachable) << error.what();
}

}  // namespace
}  // namespace ferry::aws
