#include "tests/support/postgres_server.h"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

extern "C" {  // glibc 2.36 forgot it in this header.
#include <sys/pidfd.h>
}

namespace ferry::test_support {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kDeadline{60};
constexpr std::chrono::milliseconds kPollInterval{20};
constexpr int kPortTries = 5;
// Lines of postmaster.pid, counted from 0 (PostgreSQL: src/include/utils/pidfile.h).
constexpr std::size_t kPidLine = 0;
constexpr std::size_t kSharedMemoryLine = 6;
constexpr std::size_t kStatusLine = 7;

[[noreturn]] void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Whom the server runs as.
struct ServerUser {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
};

ServerUser server_user() {
  ServerUser user;
  if (user.uid != 0) return user;
  for (const char* name : {"postgres", "nobody"}) {
    if (const passwd* entry = ::getpwnam(name)) return {entry->pw_uid, entry->pw_gid};
  }
  throw std::runtime_error(
      "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody");
}

std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream stream(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void write_file(const fs::path& file, std::string_view text) {
  std::ofstream stream(file, std::ios::binary | std::ios::app);
  stream << text;
  if (!stream.flush()) throw std::runtime_error("cannot write " + file.string());
}

void give_to(const fs::path& path, ServerUser user) {
  if (::lchown(path.c_str(), user.uid, user.gid) != 0) throw_errno("chown " + path.string());
}

// Starts a program as `user` with its output appended to `log`. `death_signal` is sent to it when the calling
// thread ends. Between fork and exec only functions that are safe in a threaded program are called.
pid_t spawn(const std::vector<std::string>& command, ServerUser user, const fs::path& log, int death_signal) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  std::string home = "HOME=" + log.parent_path().string();
  std::string path = "PATH=/usr/bin:/bin";
  std::string locale = "LC_ALL=C.UTF-8";
  std::string zone = "TZ=UTC";
  char* environment[] = {home.data(), path.data(), locale.data(), zone.data(), nullptr};

  FileDescriptor output(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  FileDescriptor input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (output.get() < 0 || input.get() < 0) throw_errno("open " + log.string());
  const std::string folder = log.parent_path().string();
  const bool change_user = user.uid != ::geteuid();
  const pid_t parent = ::getpid();

  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("fork");
  if (pid > 0) return pid;
  const bool ready = (!change_user ||
                      (::setgroups(0, nullptr) == 0 && ::setgid(user.gid) == 0 && ::setuid(user.uid) == 0)) &&
                     // After setuid, which clears it.
                     ::prctl(PR_SET_PDEATHSIG, death_signal) == 0 && ::getppid() == parent &&
                     ::dup2(input.get(), STDIN_FILENO) >= 0 && ::dup2(output.get(), STDOUT_FILENO) >= 0 &&
                     ::dup2(output.get(), STDERR_FILENO) >= 0 && ::chdir(folder.c_str()) == 0;
  if (ready) ::execve(arguments[0], arguments.data(), environment);
  ::_exit(127);
}

void run(const std::vector<std::string>& command, ServerUser user, const fs::path& log) {
  const pid_t pid = spawn(command, user, log, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) throw_errno("waitpid");
  }
  if (status != 0) throw std::runtime_error(command.front() + " failed:\n" + read_file(log));
}

// The folder of this user's test servers. Its name can be foretold, so it must really be ours.
fs::path shared_folder() {
  fs::path folder = fs::temp_directory_path() / ("ferry-test-" + std::to_string(::geteuid()));
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) throw_errno("mkdir " + folder.string());
  struct stat found{};
  if (::lstat(folder.c_str(), &found) != 0) throw_errno("stat " + folder.string());
  if (!S_ISDIR(found.st_mode) || found.st_uid != ::geteuid()) {
    throw std::runtime_error(folder.string() + " is not a folder of this user's; remove it");
  }
  return folder;
}

// initdb takes half a second, a copy of its result a tenth of that. The template is made once for each
// installed server and kept; tests/support/postgres_server.py uses the same one under the same lock.
fs::path template_data(const fs::path& bin, ServerUser user) {
  std::string name = "template" + bin.string();
  for (char& letter : name) {
    if (letter == '/') letter = '_';
  }
  const fs::path folder = shared_folder() / name;
  const fs::path data = folder / "data";
  FileDescriptor lock(::open((folder.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0 || ::flock(lock.get(), LOCK_EX) != 0) throw_errno("lock " + folder.string());
  if (fs::exists(folder / "complete")) return data;

  fs::remove_all(folder);
  fs::create_directory(folder);
  give_to(folder, user);
  write_file(folder / "password", PostgresServer::kPassword);
  give_to(folder / "password", user);
  run({bin / "initdb", "-D", data, "-U", std::string(PostgresServer::kUser), "-A", "scram-sha-256",
       "--pwfile=" + (folder / "password").string(), "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-k"},
      user, folder / "initdb.log");
  write_file(folder / "complete", "");
  return data;
}

int free_port() {
  FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.get(), generic, size) != 0 || ::getsockname(listener.get(), generic, &size) != 0) {
    throw_errno("find a free port");
  }
  return ntohs(address.sin_port);
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    // "pid (name) state ppid …"; the name may hold anything, so the last ')' counts.
    const std::string stat = read_file(entry.path() / "stat");
    const std::size_t end = stat.rfind(") ");
    if (end != std::string::npos && std::atoi(stat.c_str() + end + 4) == parent) children.push_back(pid);
  }
  return children;
}

// Waits for the end of a process that need not be a child. Where nobody reaps it, its end counts all the
// same.
void wait_for_end(const FileDescriptor& process) {
  pollfd wanted{.fd = process.get(), .events = POLLIN, .revents = 0};
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(kDeadline).count();
  if (process.get() >= 0 && ::poll(&wanted, 1, static_cast<int>(timeout)) != 1) {
    throw std::runtime_error("a PostgreSQL process did not end in time");
  }
}

void remove_shared_memory(const fs::path& data) {
  const std::vector<std::string> lines = lines_of(data / "postmaster.pid");
  if (lines.size() <= kSharedMemoryLine) return;
  std::istringstream words(lines[kSharedMemoryLine]);
  std::uint64_t key = 0;
  int id = 0;
  if (words >> key >> id) ::shmctl(id, IPC_RMID, nullptr);
}

}  // namespace

std::optional<fs::path> PostgresServer::bin_directory(int major) {
  const std::string number = std::to_string(major);
  std::vector<fs::path> candidates;
  if (const char* named = std::getenv(("FERRY_PG_BIN_" + number).c_str())) candidates.emplace_back(named);
  candidates.push_back(fs::path(FERRY_DEPS_DIRECTORY) / "postgres" / number / "bin");
  candidates.push_back(fs::path("/usr/lib/postgresql") / number / "bin");
  for (const fs::path& candidate : candidates) {
    std::error_code ignored;
    // The real path: the links on the way need not be readable for the server's user.
    fs::path real = fs::canonical(candidate, ignored);
    if (!real.empty() && fs::exists(real / "postgres", ignored)) return real;
  }
  return std::nullopt;
}

std::vector<int> PostgresServer::installed_majors() {
  std::vector<int> majors;
  for (int major = 13; major <= 18; ++major) {
    if (bin_directory(major)) majors.push_back(major);
  }
  return majors;
}

PostgresServer::PostgresServer(int major, const std::vector<std::string>& settings) : major_(major) {
  const std::optional<fs::path> bin = bin_directory(major);
  if (!bin) {
    throw std::runtime_error("PostgreSQL " + std::to_string(major) +
                             " is not installed; run tools/install_test_servers.sh or set FERRY_PG_BIN_" +
                             std::to_string(major));
  }
  bin_ = *bin;
  const ServerUser user = server_user();
  const fs::path made_before = template_data(bin_, user);
  std::string name = shared_folder() / ("postgres-" + std::to_string(major) + "-XXXXXX");
  if (::mkdtemp(name.data()) == nullptr) throw_errno("mkdtemp " + name);
  folder_ = name;
  data_ = folder_ / "data";
  try {
    give_to(folder_, user);
    run({"/bin/cp", "-a", "--reflink=auto", made_before, data_}, user, folder_ / "copy.log");
    write_settings(settings);
    for (int attempt = 1; port_ == 0; ++attempt) {
      port_ = free_port();
      try {
        start();
      } catch (const std::runtime_error&) {
        // Another process may have taken the port since it was found free.
        if (attempt == kPortTries || !port_was_taken()) throw;
        port_ = 0;
      }
    }
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    throw;
  }
}

PostgresServer::~PostgresServer() {
  try {
    stop();
    remove_shared_memory(data_);
  } catch (...) {  // The folder goes all the same.
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string PostgresServer::log() const { return read_file(folder_ / "log"); }

std::string PostgresServer::connection_string(std::string_view database) const {
  std::string quoted;
  for (const char letter : database) {
    if (letter == '\'' || letter == '\\') quoted += '\\';
    quoted += letter;
  }
  return "host=127.0.0.1 port=" + std::to_string(port_) + " user=" + std::string(kUser) +
         " password=" + std::string(kPassword) + " dbname='" + quoted + "' connect_timeout=60";
}

std::vector<PostgresServer::Row> PostgresServer::sql(const std::string& statements,
                                                     std::string_view database) const {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(
      PQconnectdb(connection_string(database).c_str()), &PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) throw SqlError("08000", PQerrorMessage(connection.get()));
  PQsetNoticeProcessor(connection.get(), [](void*, const char*) {}, nullptr);

  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), statements.c_str()),
                                                             &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY) {
    const char* sqlstate = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    throw SqlError(sqlstate == nullptr ? "" : sqlstate,
                   std::string(PQerrorMessage(connection.get())) + "in: " + statements);
  }
  std::vector<Row> rows(static_cast<std::size_t>(PQntuples(result.get())));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const int number = static_cast<int>(row);
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      if (PQgetisnull(result.get(), number, column) != 0) {
        rows[row].emplace_back(std::nullopt);
      } else {
        rows[row].emplace_back(
            std::string(PQgetvalue(result.get(), number, column),
                        static_cast<std::size_t>(PQgetlength(result.get(), number, column))));
      }
    }
  }
  return rows;
}

std::string PostgresServer::value(const std::string& query, std::string_view database) const {
  const std::vector<Row> rows = sql(query, database);
  if (rows.size() != 1 || rows[0].size() != 1 || !rows[0][0]) {
    throw std::runtime_error("not one value: " + query);
  }
  return *rows[0][0];
}

void PostgresServer::start() {
  if (running()) return;
  launch();
  try {
    wait_until_ready();
  } catch (...) {
    kill9();
    throw;
  }
}

void PostgresServer::stop() {
  if (!running()) return;
  ::kill(pid_, SIGINT);
  const FileDescriptor process(::pidfd_open(pid_, 0));
  try {
    wait_for_end(process);
  } catch (const std::runtime_error&) {
    kill9();
    throw;
  }
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void PostgresServer::kill9() {
  if (!running()) return;
  // The postmaster stops first, so that it starts no more processes while they are being counted.
  ::kill(pid_, SIGSTOP);
  const std::vector<pid_t> children = children_of(pid_);
  std::vector<FileDescriptor> processes;
  for (const pid_t child : children) processes.emplace_back(::pidfd_open(child, 0));
  ::kill(pid_, SIGKILL);
  for (const FileDescriptor& process : processes) {
    if (process.get() >= 0) ::pidfd_send_signal(process.get(), SIGKILL, nullptr, 0);
  }
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
  for (const FileDescriptor& process : processes) wait_for_end(process);
}

// SIGINT, a fast shutdown, is also what the server gets when the test's thread is gone.
void PostgresServer::launch() {
  pid_ = spawn({bin_ / "postgres", "-D", data_, "-p", std::to_string(port_)}, server_user(), folder_ / "log",
               SIGINT);
}

void PostgresServer::wait_until_ready() {
  const auto deadline = steady_clock::now() + kDeadline;
  while (true) {
    // A killed server leaves its file behind; only the one of this process counts.
    const std::vector<std::string> lines = lines_of(data_ / "postmaster.pid");
    if (lines.size() > kStatusLine && lines[kPidLine] == std::to_string(pid_) &&
        lines[kStatusLine].starts_with("ready")) {
      return;
    }
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      throw std::runtime_error("PostgreSQL did not start:\n" + log());
    }
    if (steady_clock::now() > deadline)
      throw std::runtime_error("PostgreSQL is not ready in time:\n" + log());
    std::this_thread::sleep_for(kPollInterval);
  }
}

bool PostgresServer::port_was_taken() const {
  return log().find("Address already in use") != std::string::npos;
}

void PostgresServer::write_settings(const std::vector<std::string>& settings) const {
  std::string text =
      "\nlisten_addresses = '127.0.0.1'\n"
      "unix_socket_directories = '" +
      folder_.string() +
      "'\n"
      "wal_level = logical\n"
      "max_wal_senders = 20\n"
      "max_replication_slots = 20\n"
      // Nothing here need outlive the machine. synchronous_commit stays on: without it logical decoding lags
      // behind the commit.
      "fsync = off\n"
      "full_page_writes = off\n"
      "shared_buffers = 64MB\n";
  for (const std::string& setting : settings) text += setting + "\n";
  write_file(data_ / "postgresql.conf", text);
}

}  // namespace ferry::test_support
