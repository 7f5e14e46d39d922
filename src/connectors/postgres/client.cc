#include "connectors/postgres/client.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <future>
#include <thread>

#include "base/error.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// How long a wait goes on without a look at the stop token.
constexpr milliseconds kStopCheckInterval{200};
// How long cancel() waits for the server to take the request.
constexpr milliseconds kCancelWait{500};
// A peer that acknowledges nothing for so long is gone.
constexpr const char* kTcpUserTimeoutMs = "60000";

// Every value's text form is fixed, whatever the server, database or role say, and no time limit of theirs
// can end a long read. They come with the connection, because a walsender obeys them too. lc_monetary is left
// alone on ordinary connections: the scale of money values is only to be learned from it (catalog.cc).
struct SessionSetting {
  const char* name;
  const char* value;
};
constexpr SessionSetting kSession[] = {
    {"datestyle", "ISO"},
    {"intervalstyle", "postgres"},
    {"extra_float_digits", "3"},
    {"bytea_output", "hex"},
    {"timezone", "UTC"},
    {"xmlbinary", "base64"},
    {"standard_conforming_strings", "on"},
    {"quote_all_identifiers", "off"},
    {"statement_timeout", "0"},
    {"lock_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
    {"client_min_messages", "warning"},
    {"search_path", "pg_catalog"},
    // A policy that hides rows shall fail the read, not shorten it.
    {"row_security", "off"},
};
constexpr SessionSetting kReplicationSession = {"lc_monetary", "C"};

std::string session_options(ConnectionPurpose purpose) {
  std::string options;
  for (const SessionSetting& setting : kSession)
    options += fmt::format("-c {}={} ", setting.name, setting.value);
  if (purpose == ConnectionPurpose::kReplication) {
    options += fmt::format("-c {}={} ", kReplicationSession.name, kReplicationSession.value);
  }
  return options;
}

// What has to be said once the connection stands. Some limits are unknown to older servers, so they cannot
// stand among the options. The form of values is said again, because libpq sends PGDATESTYLE and PGTZ of the
// environment behind the options, and because the user's own script must not change it either.
std::string session_script(const Settings& settings, ConnectionPurpose purpose, int server_major) {
  std::string script;
  if (server_major >= 14) script += "SET idle_session_timeout = 0;";
  if (server_major >= 17) script += "SET transaction_timeout = 0;";
  if (purpose == ConnectionPurpose::kOrdinary && !settings.after_connect_script.empty())
    script += settings.after_connect_script + "\n;";
  for (const SessionSetting& setting : kSession)
    script += fmt::format("SET {} = '{}';", setting.name, setting.value);
  return script;
}

void ignore_notice(void*, const PGresult*) {}

ServerReport report_of(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (message == nullptr) message = PQresultErrorMessage(result);
  return {.sqlstate = state == nullptr ? "" : state, .message = message};
}

}  // namespace

void Result::Clear::operator()(pg_result* result) const { PQclear(result); }
int Result::rows() const { return PQntuples(result_.get()); }
bool Result::is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }

std::uint32_t Result::type_oid(int column) const { return PQftype(result_.get(), column); }
std::int32_t Result::typmod(int column) const { return PQfmod(result_.get(), column); }

std::string_view Result::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t Result::integer(int row, int column) const {
  std::string_view value = text(row, column);
  std::int64_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

double Result::real(int row, int column) const {
  std::string_view value = text(row, column);
  double number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

Connection::Connection(const Settings& settings, ConnectionPurpose purpose,
                       const std::string& application_name, std::stop_token stop)
    : purpose_(purpose),
      where_(fmt::format("PostgreSQL at {}:{}/{}", settings.host, settings.port, settings.database)),
      execute_timeout_(settings.execute_timeout) {
  try {
    connect(settings, application_name, stop);
    run(session_script(settings, purpose, server_major()), "prepare the session", stop);
  } catch (...) {
    PQfinish(connection_);
    throw;
  }
}

Connection::~Connection() {
  PQfreemem(copied_);
  // A statement nobody waits for any more shall not go on for hours. A replication stream ends with its
  // socket.
  if (purpose_ == ConnectionPurpose::kOrdinary && PQtransactionStatus(connection_) == PQTRANS_ACTIVE)
    cancel();
  PQfinish(connection_);
}

void Connection::connect(const Settings& settings, const std::string& application_name,
                         std::stop_token stop) {
  std::string port = std::to_string(settings.port);
  std::string options = session_options(purpose_);
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  auto add = [&](const char* keyword, const char* value) {
    keywords.push_back(keyword);
    values.push_back(value);
  };
  add("host", settings.host.c_str());
  add("port", port.c_str());
  add("dbname", settings.database.c_str());
  add("user", settings.user.c_str());
  add("password", settings.password.reveal().c_str());
  add("sslmode", settings.ssl_mode.c_str());
  if (!settings.ssl_root_certificate.empty()) add("sslrootcert", settings.ssl_root_certificate.c_str());
  add("gssencmode", "disable");
  add("application_name", application_name.c_str());
  add("client_encoding", "UTF8");
  add("options", options.c_str());
  add("keepalives", "1");
  add("keepalives_idle", "10");
  add("keepalives_interval", "5");
  add("keepalives_count", "6");
  add("tcp_user_timeout", kTcpUserTimeoutMs);
  if (purpose_ == ConnectionPurpose::kReplication) add("replication", "database");
  add(nullptr, nullptr);

  // PQconnectPoll knows no time limit; the deadline is ours and covers every address of the host.
  auto deadline = Clock::now() + settings.connection_timeout;
  // Expanding dbname would let a database name carry a connection string.
  connection_ = PQconnectStartParams(keywords.data(), values.data(), /*expand_dbname=*/0);
  if (connection_ == nullptr) throw Error(ErrorKind::kInternal, "no memory for a connection");
  // Verbose errors hold the SQLSTATE, which is the same in every server language.
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);
  PQsetNoticeReceiver(connection_, ignore_notice, nullptr);

  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (PQstatus(connection_) != CONNECTION_BAD && status != PGRES_POLLING_OK &&
         status != PGRES_POLLING_FAILED) {
    wait_for_socket(status == PGRES_POLLING_READING ? POLLIN : POLLOUT, kStopCheckInterval, stop);
    if (Clock::now() >= deadline) {
      throw Error(ErrorKind::kSourceUnreachable,
                  {.message = fmt::format("cannot connect to {}: no answer within {} s", where_,
                                          settings.connection_timeout.count()),
                   .remedy = "Check the endpoint's server name and port, and the firewalls in between."});
    }
    pollfd ready{.fd = PQsocket(connection_),
                 .events = static_cast<short>(status == PGRES_POLLING_READING ? POLLIN : POLLOUT),
                 .revents = 0};
    // PQconnectPoll must not be called before the socket is ready.
    if (::poll(&ready, 1, 0) > 0) status = PQconnectPoll(connection_);
  }
  if (PQstatus(connection_) != CONNECTION_OK) {
    throw connect_error(PQerrorMessage(connection_), where_);
  }
  PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
  if (PQsetnonblocking(connection_, 1) != 0) throw_lost("use the connection");
}

int Connection::server_version() const { return PQserverVersion(connection_); }
int Connection::backend_pid() const { return PQbackendPID(connection_); }

void Connection::throw_lost(std::string_view doing) const {
  throw statement_error({.sqlstate = "", .message = PQerrorMessage(connection_)}, doing, Concern::kWork)
      .with_context(where_);
}

// Returns when the socket is ready, or false when `wait` has passed first. Throws Error(kStopped).
bool Connection::wait_for_socket(short events, milliseconds wait, std::stop_token stop) {
  auto deadline = Clock::now() + wait;
  while (true) {
    if (stop.stop_requested()) throw Error(ErrorKind::kStopped, "stopped while waiting for " + where_);
    auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (left < milliseconds(0)) left = milliseconds(0);
    pollfd ready{.fd = PQsocket(connection_), .events = events, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(std::min(left, kStopCheckInterval).count())) > 0) return true;
    if (left.count() == 0) return false;
  }
}

void Connection::flush(std::stop_token stop, Clock::time_point deadline) {
  while (true) {
    int left = PQflush(connection_);
    if (left == 0) return;
    if (left < 0 || Clock::now() >= deadline) throw_lost("send to the server");
    wait_for_socket(POLLIN | POLLOUT, kStopCheckInterval, stop);
    if (PQconsumeInput(connection_) == 0) throw_lost("read from the server");
  }
}

// The next result, or null when there is no more. Throws Error(kSourceConnectionLost) at the deadline.
pg_result* Connection::next_result(Clock::time_point deadline, std::stop_token stop) {
  while (PQisBusy(connection_) != 0) {
    if (Clock::now() >= deadline) {
      cancel();
      throw Error(ErrorKind::kSourceConnectionLost,
                  {.message = where_ + " did not answer in time",
                   .remedy = "Raise ExecuteTimeout, or look for what slows the server down."});
    }
    try {
      wait_for_socket(POLLIN, kStopCheckInterval, stop);
    } catch (const Error&) {
      cancel();
      throw;
    }
    if (PQconsumeInput(connection_) == 0) throw_lost("read from the server");
  }
  return PQgetResult(connection_);
}

void Connection::check_result(const pg_result* result, std::string_view doing, Concern concern) const {
  ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_FATAL_ERROR && status != PGRES_BAD_RESPONSE) return;
  if (PQstatus(connection_) == CONNECTION_BAD) concern = Concern::kWork;
  throw statement_error(report_of(result), doing, concern).with_context(where_);
}

void Connection::send(const Statement& statement) {
  int sent = 0;
  if (statement.parameters.empty()) {
    sent = PQsendQuery(connection_, statement.sql.c_str());
  } else {
    std::vector<const char*> values;
    for (const auto& value : statement.parameters) values.push_back(value ? value->c_str() : nullptr);
    sent = PQsendQueryParams(connection_, statement.sql.c_str(), static_cast<int>(values.size()), nullptr,
                             values.data(), nullptr, nullptr, /*resultFormat=*/0);
  }
  if (sent == 0) throw_lost(statement.doing);
}

Result Connection::run(const Statement& statement, std::stop_token stop) {
  // Also because a statement that was broken off leaves the connection of no use for the next one.
  if (stop.stop_requested()) throw Error(ErrorKind::kStopped, "stopped before asking " + where_);
  auto deadline = Clock::now() + (statement.timeout.count() > 0 ? statement.timeout : execute_timeout_);
  send(statement);
  flush(stop, deadline);
  Result last(nullptr);
  std::exception_ptr failure;
  // All results are taken even after a failure, so that the connection can be used again.
  while (pg_result* next = next_result(deadline, stop)) {
    Result result(next);
    try {
      check_result(next, statement.doing, statement.concern);
    } catch (...) {
      if (!failure) failure = std::current_exception();
      if (PQstatus(connection_) == CONNECTION_BAD) break;
    }
    last = std::move(result);
  }
  if (failure) std::rethrow_exception(failure);
  return last;
}

std::optional<Result> Connection::poll(const Statement& statement, milliseconds wait, std::stop_token stop) {
  if (PQflush(connection_) < 0) throw_lost(statement.doing);
  if (PQisBusy(connection_) != 0) wait_for_socket(POLLIN, wait, stop);
  if (PQconsumeInput(connection_) == 0) throw_lost(statement.doing);
  if (PQisBusy(connection_) != 0) return std::nullopt;
  pg_result* next = PQgetResult(connection_);
  if (next == nullptr) throw_lost(statement.doing);
  Result result(next);
  std::exception_ptr failure;
  try {
    check_result(next, statement.doing, statement.concern);
  } catch (...) {
    failure = std::current_exception();
  }
  drain();
  if (failure) std::rethrow_exception(failure);
  return result;
}

// Takes what is left of a statement whose outcome is known.
void Connection::drain() {
  auto deadline = Clock::now() + execute_timeout_;
  while (pg_result* next = next_result(deadline, {})) {
    PQclear(next);
    if (PQstatus(connection_) == CONNECTION_BAD) return;
  }
}

// Whether the server says anything in time. Throws Error(kStopped).
bool Connection::hears_within(milliseconds wait, std::stop_token stop) {
  try {
    return wait_for_socket(POLLIN, wait, stop);
  } catch (const Error&) {
    cancel();
    throw;
  }
}

void Connection::start_copy(const Statement& statement, std::stop_token stop,
                            const std::function<void()>& when_silent) {
  milliseconds timeout = statement.timeout.count() > 0 ? statement.timeout : execute_timeout_;
  auto deadline = Clock::now() + timeout;
  copy_doing_ = statement.doing;
  copy_concern_ = statement.concern;
  send(statement);
  flush(stop, deadline);
  while (when_silent && !hears_within(timeout, stop)) when_silent();
  if (when_silent) deadline = Clock::now() + timeout;
  pg_result* next = next_result(deadline, stop);
  if (next == nullptr) throw_lost(statement.doing);
  Result result(next);
  ExecStatusType status = PQresultStatus(next);
  if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) return;
  drain();
  check_result(next, statement.doing, statement.concern);
  throw Error(ErrorKind::kSourceProtocol,
              fmt::format("cannot {}: the server did not start the stream", statement.doing))
      .with_context(where_);
}

CopyRead Connection::read_copy(std::string_view& message, milliseconds wait, std::stop_token stop) {
  auto deadline = Clock::now() + wait;
  while (true) {
    PQfreemem(copied_);
    copied_ = nullptr;
    int size = PQgetCopyData(connection_, &copied_, /*async=*/1);
    if (size > 0) {
      message = {copied_, static_cast<std::size_t>(size)};
      return CopyRead::kData;
    }
    if (size < 0) break;
    auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) {
      // One look at the socket even where no wait is allowed.
      if (PQconsumeInput(connection_) == 0) throw_lost(copy_doing_);
      size = PQgetCopyData(connection_, &copied_, /*async=*/1);
      if (size > 0) {
        message = {copied_, static_cast<std::size_t>(size)};
        return CopyRead::kData;
      }
      if (size < 0) break;
      if (stop.stop_requested()) throw Error(ErrorKind::kStopped, "stopped while reading from " + where_);
      return CopyRead::kNothing;
    }
    if (wait_for_socket(POLLIN, left, stop)) last_heard_ = Clock::now();
    if (PQconsumeInput(connection_) == 0) throw_lost(copy_doing_);
  }
  // The end, good or bad: its result says which.
  auto end = Clock::now() + execute_timeout_;
  while (pg_result* next = next_result(end, stop)) {
    Result result(next);
    check_result(next, copy_doing_, copy_concern_);
    if (PQresultStatus(next) == PGRES_COPY_IN || PQresultStatus(next) == PGRES_COPY_BOTH) break;
  }
  if (PQstatus(connection_) == CONNECTION_BAD) throw_lost(copy_doing_);
  return CopyRead::kEnd;
}

void Connection::release_copy() { PQfreemem(std::exchange(copied_, nullptr)); }

void Connection::write_copy(std::string_view message) {
  if (PQputCopyData(connection_, message.data(), static_cast<int>(message.size())) < 0 ||
      PQflush(connection_) < 0) {
    throw_lost(copy_doing_);
  }
}

void Connection::cancel() {
  PGcancel* request = PQgetCancel(connection_);
  if (request == nullptr) return;
  // PQcancel connects without a time limit, so it gets a thread that nobody has to wait for.
  std::promise<void> done;
  std::future<void> finished = done.get_future();
  std::thread([request, done = std::move(done)]() mutable {
    char problem[256];
    PQcancel(request, problem, sizeof problem);
    PQfreeCancel(request);
    done.set_value();
  }).detach();
  finished.wait_for(kCancelWait);
}

std::string Connection::literal(std::string_view text) const {
  char* quoted = PQescapeLiteral(connection_, text.data(), text.size());
  if (quoted == nullptr) throw Error(ErrorKind::kInternal, "a text cannot be written as an SQL literal");
  std::string result(quoted);
  PQfreemem(quoted);
  return result;
}

std::string quote_identifier(std::string_view name) {
  std::string result = "\"";
  for (char c : name) {
    if (c == '"') result += '"';
    result += c;
  }
  return result + '"';
}

}  // namespace ferry::postgres
