#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/errors.h"
#include "connectors/postgres/settings.h"

// The only door to libpq. libpq-fe.h is included by client.cc alone.
struct pg_conn;
struct pg_result;

namespace ferry::postgres {

using Parameters = std::vector<std::optional<std::string>>;

// One statement and how its failure is told.
struct Statement {
  std::string sql;
  std::string doing;           // Completes "cannot …": "list the tables".
  Parameters parameters = {};  // Text form, for $1, $2 …; without any, several statements may stand in `sql`.
  Concern concern = Concern::kWork;
  std::chrono::milliseconds timeout{0};  // 0 = the endpoint's ExecuteTimeout.
};

// The rows of a statement, in text form.
class Result {
 public:
  explicit Result(pg_result* result) : result_(result) {}

  int rows() const;
  bool is_null(int row, int column) const;
  // Empty for NULL. Lives as long as the result.
  std::string_view text(int row, int column) const;
  std::int64_t integer(int row, int column) const;  // 0 for NULL.
  double real(int row, int column) const;           // 0 for NULL.
  bool boolean(int row, int column) const { return text(row, column) == "t"; }
  // A column's type, of a domain the one that it is made of, and that type's modifier, -1 where it has none.
  std::uint32_t type_oid(int column) const;
  std::int32_t typmod(int column) const;

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

enum class ConnectionPurpose : std::uint8_t { kOrdinary, kReplication };

// What read_copy() found.
enum class CopyRead : std::uint8_t {
  kData,     // One message.
  kNothing,  // None within the time given.
  kEnd,      // The server ended the stream properly.
};

// One connection. Every wait has a deadline and ends within a fifth of a second of a stop request. Used by
// one thread at a time. All sessions print values in one fixed form (client.cc, kSession).
class Connection {
 public:
  // Throws what connect_error() makes of a failure.
  Connection(const Settings& settings, ConnectionPurpose purpose, const std::string& application_name,
             std::stop_token stop);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The number of the server's release: 150018 for 15.18.
  int server_version() const;
  int server_major() const { return server_version() / 10000; }
  // The server's process that serves this connection.
  int backend_pid() const;

  // Runs the statement to its end. Throws statement_error(), Error(kStopped) and, when the server does not
  // answer in time, Error(kSourceConnectionLost). After the last two the connection is of no more use.
  Result run(const Statement& statement, std::stop_token stop);
  Result run(std::string sql, std::string doing, std::stop_token stop) {
    return run(Statement{.sql = std::move(sql), .doing = std::move(doing)}, stop);
  }

  // The same in two steps, for statements that wait for others: poll() answers nothing while the server
  // works.
  void send(const Statement& statement);
  std::optional<Result> poll(const Statement& statement, std::chrono::milliseconds wait,
                             std::stop_token stop);

  // Starts a COPY … TO STDOUT or START_REPLICATION: read_copy() follows. A server may compute for long before
  // it answers: with `when_silent`, that is called each time the statement's timeout has passed without an
  // answer, and ends the wait by throwing.
  void start_copy(const Statement& statement, std::stop_token stop,
                  const std::function<void()>& when_silent = {});
  // The next message of the stream; `message` is valid until the next call. Throws statement_error() when the
  // server broke the stream off.
  CopyRead read_copy(std::string_view& message, std::chrono::milliseconds wait, std::stop_token stop);
  // Forgets what read_copy() gave: a huge message is not kept until the next one is asked for.
  void release_copy();
  // When read_copy() last found bytes of the server, be they of a message that is not yet whole.
  std::chrono::steady_clock::time_point last_heard() const { return last_heard_; }
  // Sends one message of ours into a replication stream.
  void write_copy(std::string_view message);

  // Asks the server to give up the running statement; does not wait for that.
  void cancel();

  // The text as an SQL literal or identifier, quotes included.
  std::string literal(std::string_view text) const;

 private:
  void connect(const Settings& settings, const std::string& application_name, std::stop_token stop);
  bool hears_within(std::chrono::milliseconds wait, std::stop_token stop);
  bool wait_for_socket(short events, std::chrono::milliseconds wait, std::stop_token stop);
  void flush(std::stop_token stop, std::chrono::steady_clock::time_point deadline);
  pg_result* next_result(std::chrono::steady_clock::time_point deadline, std::stop_token stop);
  void check_result(const pg_result* result, std::string_view doing, Concern concern) const;
  [[noreturn]] void throw_lost(std::string_view doing) const;
  void drain();

  pg_conn* connection_ = nullptr;
  ConnectionPurpose purpose_;
  std::string where_;  // "db.example:5432/shop", for messages.
  std::chrono::milliseconds execute_timeout_;
  std::chrono::steady_clock::time_point last_heard_;
  char* copied_ = nullptr;  // The message that read_copy() gave last.
  std::string copy_doing_;
  Concern copy_concern_ = Concern::kWork;
};

// "schema"."table", with the quotes that any name needs.
std::string quote_identifier(std::string_view name);

}  // namespace ferry::postgres
