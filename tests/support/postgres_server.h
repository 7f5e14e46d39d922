#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferry::test_support {

// A statement that the server refused.
class SqlError : public std::runtime_error {
 public:
  SqlError(std::string sqlstate, const std::string& message)
      : std::runtime_error(message), sqlstate_(std::move(sqlstate)) {}
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  std::string sqlstate_;
};

// A throw-away PostgreSQL: its own data directory in the temporary folder, its own free port on 127.0.0.1, no
// durability, logical replication allowed. It runs from construction to destruction, and its data directory
// goes with it. Started by root, it runs as `postgres`, or as `nobody` where there is no such user.
//
// Used by one thread at a time. The server is ended when the thread that started it ends, however it ends:
// start it from the test's own thread.
class PostgresServer {
 public:
  using Row = std::vector<std::optional<std::string>>;

  static constexpr std::string_view kUser = "postgres";
  static constexpr std::string_view kPassword = "secret";

  // The folder of the server's programs: FERRY_PG_BIN_<major> if set, else .deps/postgres/<major>/bin, else
  // /usr/lib/postgresql/<major>/bin; nothing where none of them has a server.
  static std::optional<std::filesystem::path> bin_directory(int major);
  // Those of 13 to 18 that have a bin directory, in order: the parameters of a test over all versions.
  static std::vector<int> installed_majors();

  // `settings` are lines of postgresql.conf, such as "max_replication_slots = 1"; they win over the defaults.
  explicit PostgresServer(int major, const std::vector<std::string>& settings = {});
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  int major() const { return major_; }
  // The same for the object's whole life, over every restart.
  int port() const { return port_; }
  const std::filesystem::path& data_directory() const { return data_; }
  // A folder with the server's Unix socket in it, to be used as the host of a connection.
  const std::filesystem::path& socket_directory() const { return folder_; }
  // All that the server has logged since it was first started.
  std::string log() const;

  // For libpq, over TCP and with the superuser's password.
  std::string connection_string(std::string_view database = "postgres") const;

  // Runs the statements on a connection of their own and returns the rows of the last one. Several statements
  // in one string are one transaction; what cannot run in one (VACUUM, making a slot after a write) needs a
  // call of its own. Throws SqlError.
  std::vector<Row> sql(const std::string& statements, std::string_view database = "postgres") const;
  // The only column of the only row; throws where there is another number of them, or a NULL.
  std::string value(const std::string& query, std::string_view database = "postgres") const;

  // Starts a stopped or killed server on the same data and port. Returns when it takes connections.
  void start();
  // A fast shutdown, connections cut. Does nothing where the server is not running.
  void stop();
  void restart() {
    stop();
    start();
  }
  // Ends the server's processes with SIGKILL and returns when all of them are gone. start() then recovers.
  void kill9();
  bool running() const { return pid_ > 0; }

 private:
  void launch();
  void wait_until_ready();
  bool port_was_taken() const;
  void write_settings(const std::vector<std::string>& settings) const;

  int major_;
  int port_ = 0;
  std::filesystem::path bin_;
  std::filesystem::path folder_;
  std::filesystem::path data_;
  pid_t pid_ = 0;  // Of the postmaster; 0 while it is not running.
};

}  // namespace ferry::test_support
