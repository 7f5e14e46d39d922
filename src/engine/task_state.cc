#include "engine/task_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <random>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "model/task_definition.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;

constexpr int kStateVersion = 4;

constexpr std::string_view kLockName = "lock";
constexpr std::string_view kDatabaseName = "state.db";

// The schema of docs/formats/state.md.
constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tables (
  source_schema TEXT NOT NULL, source_table TEXT NOT NULL, source_number INTEGER NOT NULL,
  target_schema TEXT NOT NULL, target_table TEXT NOT NULL,
  phase INTEGER NOT NULL, copy_as INTEGER NOT NULL, load_epoch INTEGER NOT NULL, mark TEXT NOT NULL,
  rows_loaded INTEGER NOT NULL, error TEXT NOT NULL, copy_after BLOB NOT NULL, copy_after_text TEXT NOT NULL,
  copy_position BLOB NOT NULL, copy_position_text TEXT NOT NULL, shape TEXT NOT NULL DEFAULT '',
  last_shape TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (source_schema, source_table, source_number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS skipped (
  source_schema TEXT NOT NULL, source_table TEXT NOT NULL, source_number INTEGER NOT NULL,
  id INTEGER NOT NULL, commit_key BLOB NOT NULL, commit_text TEXT NOT NULL,
  PRIMARY KEY (source_schema, source_table, source_number, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row_counts (
  target_schema TEXT NOT NULL, target_table TEXT NOT NULL, load_errors INTEGER NOT NULL,
  load_warnings INTEGER NOT NULL, change_errors INTEGER NOT NULL, change_warnings INTEGER NOT NULL,
  through_commit BLOB, through_text TEXT, through_ordinal INTEGER, through_report INTEGER,
  PRIMARY KEY (target_schema, target_table)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused_changes (
  target_schema TEXT NOT NULL, target_table TEXT NOT NULL, inserts INTEGER NOT NULL, updates INTEGER NOT NULL,
  deletes INTEGER NOT NULL, PRIMARY KEY (target_schema, target_table)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change_counts (
  source_schema TEXT NOT NULL, source_table TEXT NOT NULL, inserts INTEGER NOT NULL, updates INTEGER NOT NULL,
  deletes INTEGER NOT NULL, ddls INTEGER NOT NULL, PRIMARY KEY (source_schema, source_table)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
  number INTEGER PRIMARY KEY, target_schema TEXT NOT NULL, target_table TEXT NOT NULL, phase INTEGER NOT NULL,
  load_epoch INTEGER NOT NULL, key TEXT NOT NULL, first_commit BLOB NOT NULL, first_text TEXT NOT NULL,
  first_ordinal INTEGER NOT NULL, last_commit BLOB NOT NULL, last_text TEXT NOT NULL, last_ordinal INTEGER NOT NULL,
  rows INTEGER NOT NULL, done INTEGER NOT NULL, removed INTEGER NOT NULL DEFAULT 0,
  UNIQUE (target_schema, target_table, key));
)";

// Version 1 had tables without number and counts in memory only.
constexpr const char* kFromVersion1 = R"(
BEGIN IMMEDIATE;
ALTER TABLE tables RENAME TO tables_1;
CREATE TABLE tables (
  source_schema TEXT NOT NULL, source_table TEXT NOT NULL, source_number INTEGER NOT NULL,
  target_schema TEXT NOT NULL, target_table TEXT NOT NULL,
  phase INTEGER NOT NULL, copy_as INTEGER NOT NULL, load_epoch INTEGER NOT NULL, mark TEXT NOT NULL,
  rows_loaded INTEGER NOT NULL, error TEXT NOT NULL, copy_after BLOB NOT NULL, copy_after_text TEXT NOT NULL,
  copy_position BLOB NOT NULL, copy_position_text TEXT NOT NULL,
  PRIMARY KEY (source_schema, source_table, source_number)) WITHOUT ROWID;
INSERT INTO tables SELECT source_schema, source_table, 0, target_schema, target_table, phase, 0, load_epoch, mark,
  rows_loaded, error, x'', '', x'', '' FROM tables_1;
DROP TABLE tables_1;
UPDATE facts SET value = '2' WHERE name = 'version';
COMMIT;
)";

// Version 2 had tables without shape.
constexpr const char* kFromVersion2 = R"(
BEGIN IMMEDIATE;
ALTER TABLE tables ADD COLUMN shape TEXT NOT NULL DEFAULT '';
UPDATE facts SET value = '3' WHERE name = 'version';
COMMIT;
)";

// Version 3 had tables without last_shape.
constexpr const char* kFromVersion3 = R"(
BEGIN IMMEDIATE;
ALTER TABLE tables ADD COLUMN last_shape TEXT NOT NULL DEFAULT '';
UPDATE facts SET value = '4' WHERE name = 'version';
COMMIT;
)";

constexpr const char* kObjectColumns =
    "target_schema, target_table, phase, load_epoch, key, first_commit, first_text, first_ordinal, "
    "last_commit, "
    "last_text, last_ordinal, rows, done";

constexpr std::string_view kMend =
    "Free disk space or repair the folder's rights and run the same command again, or name another folder "
    "with "
    "--state.";
constexpr std::string_view kBeginAnew =
    "The task cannot go on without its state.db: drop its replication slot on the source (the name begins "
    "with "
    "ferry_), remove the folder and begin anew.";

Error unusable(const std::filesystem::path& folder, std::string_view what, std::string_view remedy = kMend) {
  return Error(ErrorKind::kStateUnusable,
               {.message = fmt::format("the task's state in {} cannot be used: {}", folder.string(), what),
                .remedy = std::string(remedy)});
}

Error unusable(const std::filesystem::path& folder, sqlite3* database) {
  int code = sqlite3_errcode(database);
  bool is_damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
  return unusable(folder, sqlite3_errmsg(database), is_damaged ? kBeginAnew : kMend);
}

// A folder of other things, say a home directory, keeps its rights and gets nothing put into it.
void refuse_foreign_folder(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / kDatabaseName)) return;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::string name = entry.path().filename().string();
    if (name == kLockName) continue;  // Ferry was killed before it made the database.
    Error::Parts parts{.message = fmt::format("the folder {} is no task's state: there is '{}' in it",
                                              folder.string(), name),
                       .remedy = "Name a new or empty folder with --state."};
    throw Error(ErrorKind::kStateUnusable, std::move(parts));
  }
  if (error) throw unusable(folder, error.message());
}

std::int64_t to_integer(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Whether the two definitions' targets lie in different places: there an object of the same key is somebody
// else's.
bool names_another_place(std::string_view stored, std::string_view fingerprint) {
  if (stored.empty()) return false;
  return std::ranges::any_of(model::differing_parts(stored, fingerprint), [](std::string_view part) {
    if (!part.starts_with("TargetEndpoint.")) return false;
    std::string_view member = part.substr(part.rfind('.') + 1);
    return member == "EngineName" || member == "EndpointUrl" || member == "BucketName" ||
           member == "ServerName" || member == "Port" || member == "DatabaseName";
  });
}

std::string random_name() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device device;
  std::string name;
  for (int i = 0; i < 16; ++i) name += kLetters[device() % kLetters.size()];
  return name;
}

}  // namespace

// One prepared statement, used under TaskState's mutex.
class TaskState::Statement {
 public:
  Statement(const TaskState& state, std::string_view sql) : state_(state) {
    check(
        sqlite3_prepare_v2(state.database_, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr));
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& text(std::string_view value) {
    check(
        sqlite3_bind_text64(statement_, ++bound_, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
    return *this;
  }
  Statement& blob(std::string_view value) {
    // A null pointer would bind NULL instead of an empty value.
    check(sqlite3_bind_blob64(statement_, ++bound_, value.empty() ? "" : value.data(), value.size(),
                              SQLITE_TRANSIENT));
    return *this;
  }
  Statement& integer(std::int64_t value) {
    check(sqlite3_bind_int64(statement_, ++bound_, value));
    return *this;
  }

  bool step() {
    int result = sqlite3_step(statement_);
    if (result == SQLITE_ROW) return true;
    if (result != SQLITE_DONE) check(result);
    return false;
  }
  void run() {
    while (step()) {
    }
  }

  std::string text_at(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);
    auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
  }
  std::int64_t integer_at(int column) const { return sqlite3_column_int64(statement_, column); }
  bool is_null_at(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

 private:
  void check(int result) const {
    if (result != SQLITE_OK) throw unusable(state_.folder_, state_.database_);
  }

  const TaskState& state_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

TaskState::TaskState(const std::filesystem::path& folder) : folder_(folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw unusable(folder, error.message());
  refuse_foreign_folder(folder);
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);

  std::string lock_path = (folder / kLockName).string();
  lock_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) throw unusable(folder, ::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw Error(
        ErrorKind::kStateInUse,
        {.message = fmt::format("another process works on the task whose state is in {}", folder.string()),
         .remedy = "Wait until it ends, or stop it."});
  }

  std::string path = (folder / kDatabaseName).string();
  if (sqlite3_open_v2(path.c_str(), &database_,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                      nullptr) != SQLITE_OK) {
    Error failure = unusable(folder, database_);
    sqlite3_close(database_);
    ::close(lock_);
    throw failure;
  }
  try {
    // FULL makes every commit wait for the disk, in WAL mode too: progress is promised on it.
    execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA locking_mode = EXCLUSIVE;");
    execute(kSchema);
    looked_up_values_ = std::make_unique<LookedUpValues>(folder / "looked_up");
  } catch (...) {
    sqlite3_close(database_);
    ::close(lock_);
    throw;
  }
}

TaskState::~TaskState() {
  sqlite3_close(database_);
  ::close(lock_);
}

std::unique_ptr<TaskState> TaskState::open(const std::filesystem::path& folder, std::string_view fingerprint,
                                           Existing existing) {
  std::unique_ptr<TaskState> state = open_any(folder);
  // What failed before anything was done may be given again with whatever it failed for mended.
  if (existing == Existing::kRestart || state->phase() == TaskPhase::kNew) {
    if (names_another_place(state->fact("definition").value_or(""), fingerprint)) {
      state->execute("DELETE FROM objects; DELETE FROM tables");
    }
    state->restart();
  }
  state->check_fingerprint(fingerprint);
  return state;
}

std::unique_ptr<TaskState> TaskState::open_any(const std::filesystem::path& folder) {
  std::unique_ptr<TaskState> state(new TaskState(folder));
  std::string version = std::to_string(kStateVersion);
  std::optional<std::string> stored = state->fact("version");
  if (!stored) {
    state->set_fact("version", version);
    return state;
  }
  if (*stored == "1") {
    state->execute(kFromVersion1);
    stored = "2";
  }
  if (*stored == "2") {
    state->execute(kFromVersion2);
    stored = "3";
  }
  if (*stored == "3") {
    state->execute(kFromVersion3);
    stored = version;
  }
  if (*stored != version) {
    throw Error(ErrorKind::kStateMismatch,
                {.message = fmt::format("the task's state in {} has version {}, this program writes {}",
                                        folder.string(), *stored, version),
                 .remedy = "Use the version of Ferry that wrote it."});
  }
  return state;
}

void TaskState::check_fingerprint(std::string_view fingerprint) {
  std::optional<std::string> stored = fact("definition");
  if (!stored) {
    set_fact("definition", fingerprint);
    return;
  }
  if (*stored == fingerprint) return;
  std::vector<std::string> parts = model::differing_parts(*stored, fingerprint);
  throw Error(ErrorKind::kStateMismatch,
              {.message = fmt::format("the task was started with another definition; what differs: {}",
                                      fmt::join(parts, ", ")),
               .remedy = "Run it as before, load anew with --restart, or give another --state folder."});
}

void TaskState::execute(const char* sql) const {
  std::lock_guard lock(mutex_);
  if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    Error failure = unusable(folder_, database_);
    sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    throw failure;
  }
}

std::optional<std::string> TaskState::fact(std::string_view name) const {
  std::lock_guard lock(mutex_);
  Statement found(*this, "SELECT value FROM facts WHERE name = ?");
  if (!found.text(name).step()) return std::nullopt;
  return found.text_at(0);
}

void TaskState::set_fact(std::string_view name, std::string_view value) {
  set_facts({{std::string(name), std::string(value)}});
}

template <typename Work>
void TaskState::in_one_step(Work work) {
  std::lock_guard lock(mutex_);
  Statement(*this, "BEGIN IMMEDIATE").run();
  try {
    work();
    Statement(*this, "COMMIT").run();
  } catch (...) {
    sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

void TaskState::write_fact(std::string_view name, std::string_view value) {
  Statement(*this, "INSERT OR REPLACE INTO facts VALUES (?, ?)").text(name).text(value).run();
}

void TaskState::set_facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  in_one_step([&] {
    for (const auto& [name, value] : facts) write_fact(name, value);
  });
}

std::string TaskState::task_name() {
  if (std::optional<std::string> name = fact("task_name")) return *name;
  std::string name = random_name();
  set_fact("task_name", name);
  return name;
}

base::UnixMicros TaskState::load_started(base::UnixMicros now) {
  if (std::optional<std::string> stored = fact("load_started")) return to_integer(*stored);
  set_fact("load_started", std::to_string(now));
  return now;
}

TaskPhase TaskState::phase() const { return static_cast<TaskPhase>(to_integer(fact("phase").value_or("0"))); }

void TaskState::set_phase(TaskPhase phase) { set_fact("phase", std::to_string(static_cast<int>(phase))); }

std::vector<TableState> TaskState::tables() const {
  std::lock_guard lock(mutex_);
  Statement rows(*this, "SELECT * FROM tables ORDER BY source_schema, source_table, source_number");
  std::vector<TableState> tables;
  while (rows.step()) {
    tables.push_back({.source = {rows.text_at(0), rows.text_at(1)},
                      .source_number = static_cast<std::uint64_t>(rows.integer_at(2)),
                      .target = {rows.text_at(3), rows.text_at(4)},
                      .phase = static_cast<TablePhase>(rows.integer_at(5)),
                      .copy_as = static_cast<CopyAs>(rows.integer_at(6)),
                      .load_epoch = static_cast<std::uint64_t>(rows.integer_at(7)),
                      .mark = rows.text_at(8),
                      .rows_loaded = rows.integer_at(9),
                      .error = rows.text_at(10),
                      .copy_after = {rows.text_at(11), rows.text_at(12)},
                      .copy_position = {rows.text_at(13), rows.text_at(14)},
                      .shape = rows.text_at(15),
                      .last_shape = rows.text_at(16)});
  }
  return tables;
}

void TaskState::add_tables(const std::vector<TableState>& tables) {
  in_one_step([&] {
    for (const TableState& table : tables) write_table(table);
  });
}

void TaskState::set_table(const TableState& table) {
  std::lock_guard lock(mutex_);
  write_table(table);
}

void TaskState::write_table(const TableState& table) {
  Statement(*this, "INSERT OR REPLACE INTO tables VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .text(table.source.schema)
      .text(table.source.table)
      .integer(static_cast<std::int64_t>(table.source_number))
      .text(table.target.schema)
      .text(table.target.table)
      .integer(static_cast<std::int64_t>(table.phase))
      .integer(static_cast<std::int64_t>(table.copy_as))
      .integer(static_cast<std::int64_t>(table.load_epoch))
      .text(table.mark)
      .integer(table.rows_loaded)
      .text(table.error)
      .blob(table.copy_after.key())
      .text(table.copy_after.text())
      .blob(table.copy_position.key())
      .text(table.copy_position.text())
      .text(table.shape)
      .text(table.last_shape)
      .run();
}

void TaskState::remove_table(const TableState& table) {
  in_one_step([&] {
    for (const char* from : {"tables", "skipped"}) {
      Statement(
          *this,
          fmt::format("DELETE FROM {} WHERE source_schema = ? AND source_table = ? AND source_number = ?",
                      from))
          .text(table.source.schema)
          .text(table.source.table)
          .integer(static_cast<std::int64_t>(table.source_number))
          .run();
    }
  });
}

void TaskState::skip_transaction(const TableState& table, const model::TransactionStamp& stamp) {
  std::lock_guard lock(mutex_);
  Statement(*this, "INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?, ?, ?)")
      .text(table.source.schema)
      .text(table.source.table)
      .integer(static_cast<std::int64_t>(table.source_number))
      .integer(static_cast<std::int64_t>(stamp.id))
      .blob(stamp.commit_position.key())
      .text(stamp.commit_position.text())
      .run();
}

std::vector<model::TransactionStamp> TaskState::skipped_transactions(const TableState& table) const {
  std::lock_guard lock(mutex_);
  Statement rows(
      *this,
      "SELECT id, commit_key, commit_text FROM skipped WHERE source_schema = ? AND source_table = ? AND "
      "source_number = ?");
  rows.text(table.source.schema)
      .text(table.source.table)
      .integer(static_cast<std::int64_t>(table.source_number));
  std::vector<model::TransactionStamp> stamps;
  while (rows.step()) {
    stamps.push_back({.id = static_cast<std::uint64_t>(rows.integer_at(0)),
                      .commit_position = {rows.text_at(1), rows.text_at(2)},
                      .resume_position = {},
                      .commit_time = 0});
  }
  return stamps;
}

void TaskState::forget_skipped(const TableState& table) {
  std::lock_guard lock(mutex_);
  Statement(*this, "DELETE FROM skipped WHERE source_schema = ? AND source_table = ? AND source_number = ?")
      .text(table.source.schema)
      .text(table.source.table)
      .integer(static_cast<std::int64_t>(table.source_number))
      .run();
}

std::map<model::TableName, RowCounts> TaskState::row_counts() const {
  std::lock_guard lock(mutex_);
  Statement rows(
      *this,
      "SELECT row_counts.*, inserts, updates, deletes FROM row_counts LEFT JOIN refused_changes USING "
      "(target_schema, target_table)");
  std::map<model::TableName, RowCounts> counts;
  while (rows.step()) {
    RowCounts& found = counts[{rows.text_at(0), rows.text_at(1)}];
    found = {.load_errors = rows.integer_at(2),
             .load_warnings = rows.integer_at(3),
             .change_errors = rows.integer_at(4),
             .change_warnings = rows.integer_at(5),
             .refused = {.inserts = rows.integer_at(10),
                         .updates = rows.integer_at(11),
                         .deletes = rows.integer_at(12)},
             .through = std::nullopt};
    if (rows.is_null_at(6)) continue;
    found.through = {.change = {.commit = {rows.text_at(6), rows.text_at(7)},
                                .ordinal = static_cast<std::uint64_t>(rows.integer_at(8))},
                     .report = static_cast<std::uint64_t>(rows.integer_at(9))};
  }
  return counts;
}

void TaskState::set_row_counts(const model::TableName& target, const RowCounts& counts) {
  in_one_step([&] {
    noted_counts_.erase(target);
    write_row_counts(target, counts);
  });
}

void TaskState::note_row_counts(const model::TableName& target, const RowCounts& counts) {
  std::lock_guard lock(mutex_);
  noted_counts_[target] = counts;
}

void TaskState::write_row_counts(const model::TableName& target, const RowCounts& counts) {
  Statement row(*this,
                counts.through
                    ? "INSERT OR REPLACE INTO row_counts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                    : "INSERT OR REPLACE INTO row_counts VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)");
  row.text(target.schema)
      .text(target.table)
      .integer(counts.load_errors)
      .integer(counts.load_warnings)
      .integer(counts.change_errors)
      .integer(counts.change_warnings);
  if (counts.through) {
    row.blob(counts.through->change.commit.key())
        .text(counts.through->change.commit.text())
        .integer(static_cast<std::int64_t>(counts.through->change.ordinal))
        .integer(static_cast<std::int64_t>(counts.through->report));
  }
  row.run();
  Statement(*this, "INSERT OR REPLACE INTO refused_changes VALUES (?, ?, ?, ?, ?)")
      .text(target.schema)
      .text(target.table)
      .integer(counts.refused.inserts)
      .integer(counts.refused.updates)
      .integer(counts.refused.deletes)
      .run();
}

std::map<model::TableName, ChangeCounts> TaskState::change_counts() const {
  std::lock_guard lock(mutex_);
  Statement rows(*this, "SELECT * FROM change_counts");
  std::map<model::TableName, ChangeCounts> counts;
  while (rows.step()) {
    counts[{rows.text_at(0), rows.text_at(1)}] = {.inserts = rows.integer_at(2),
                                                  .updates = rows.integer_at(3),
                                                  .deletes = rows.integer_at(4),
                                                  .ddls = rows.integer_at(5)};
  }
  return counts;
}

model::StreamPosition TaskState::changes_counted_through() const {
  return {fact("counted_key").value_or(""), fact("counted_text").value_or("")};
}

void TaskState::write_progress(const ChangeProgress& progress) {
  for (const auto& [source, counts] : progress.counts) {
    Statement(*this, "INSERT OR REPLACE INTO change_counts VALUES (?, ?, ?, ?, ?, ?)")
        .text(source.schema)
        .text(source.table)
        .integer(counts.inserts)
        .integer(counts.updates)
        .integer(counts.deletes)
        .integer(counts.ddls)
        .run();
  }
  if (!progress.counted_through.empty()) {
    write_fact("counted_key", progress.counted_through.key());
    write_fact("counted_text", progress.counted_through.text());
  }
  for (const TableState& table : progress.tables) write_table(table);
}

std::optional<model::Checkpoint> TaskState::checkpoint() const {
  std::optional<std::string> identity = fact("stream_identity");
  if (!identity) return std::nullopt;
  return model::Checkpoint{
      .identity = {*identity},
      .resume_position = {fact("resume_key").value_or(""), fact("resume_text").value_or("")},
      .applied_through = {fact("applied_key").value_or(""), fact("applied_text").value_or("")}};
}

// SQLite goes on writing into a file that was removed or replaced, and nobody would find it again.
void TaskState::require_in_place() const {
  int moved = 0;
  sqlite3_file_control(database_, nullptr, SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved != 0) throw unusable(folder_, "state.db was removed or replaced while the task ran", kBeginAnew);
}

void TaskState::set_checkpoint(const model::Checkpoint& checkpoint, const ChangeProgress& progress) {
  require_in_place();
  in_one_step([&] {
    write_fact("stream_identity", checkpoint.identity.text);
    write_fact("resume_key", checkpoint.resume_position.key());
    write_fact("resume_text", checkpoint.resume_position.text());
    write_fact("applied_key", checkpoint.applied_through.key());
    write_fact("applied_text", checkpoint.applied_through.text());
    for (const auto& [target, counts] : noted_counts_) write_row_counts(target, counts);
    write_progress(progress);
  });
  std::lock_guard lock(mutex_);
  noted_counts_.clear();
}

void TaskState::restart() {
  execute(
      "BEGIN IMMEDIATE; DELETE FROM row_counts; DELETE FROM refused_changes; DELETE FROM change_counts; "
      "DELETE FROM facts WHERE name IN "
      "('phase', 'definition', 'load_started', 'counted_key', 'counted_text'); "
      "DELETE FROM notes WHERE name LIKE 'engine.%'; COMMIT");
}

void TaskState::forget_former_run() {
  // The new stream's positions are not comparable with the old one's; names of objects still are.
  execute(
      "BEGIN IMMEDIATE; DELETE FROM tables; DELETE FROM skipped; DELETE FROM facts WHERE name IN "
      "('stream_identity', 'resume_key', 'resume_text', 'applied_key', 'applied_text'); "
      "UPDATE objects SET first_commit = x'', last_commit = x'', done = 1; COMMIT");
}

std::vector<connector::ObjectRecord> TaskState::objects(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  Statement rows(*this, fmt::format("SELECT {} FROM objects WHERE target_schema = ? AND target_table = ? AND "
                                    "removed = 0 ORDER BY number",
                                    kObjectColumns));
  rows.text(table.schema).text(table.table);
  std::vector<connector::ObjectRecord> objects;
  while (rows.step()) {
    objects.push_back(
        {.table = {rows.text_at(0), rows.text_at(1)},
         .phase = static_cast<connector::ObjectPhase>(rows.integer_at(2)),
         .load_epoch = static_cast<std::uint64_t>(rows.integer_at(3)),
         .key = rows.text_at(4),
         .first = {{rows.text_at(5), rows.text_at(6)}, static_cast<std::uint64_t>(rows.integer_at(7))},
         .last = {{rows.text_at(8), rows.text_at(9)}, static_cast<std::uint64_t>(rows.integer_at(10))},
         .rows = rows.integer_at(11),
         .done = rows.integer_at(12) != 0});
  }
  return objects;
}

std::optional<connector::ObjectRecord> TaskState::last_changes(const model::TableName& table) const {
  std::lock_guard lock(mutex_);
  Statement rows(
      *this, fmt::format("SELECT {} FROM objects WHERE target_schema = ? AND target_table = ? AND phase = ? "
                         "ORDER BY number DESC LIMIT 1",
                         kObjectColumns));
  rows.text(table.schema).text(table.table).integer(static_cast<int>(connector::ObjectPhase::kChanges));
  if (!rows.step()) return std::nullopt;
  return connector::ObjectRecord{
      .table = table,
      .phase = connector::ObjectPhase::kChanges,
      .load_epoch = 0,
      .key = rows.text_at(4),
      .first = {{rows.text_at(5), rows.text_at(6)}, static_cast<std::uint64_t>(rows.integer_at(7))},
      .last = {{rows.text_at(8), rows.text_at(9)}, static_cast<std::uint64_t>(rows.integer_at(10))},
      .rows = rows.integer_at(11),
      .done = rows.integer_at(12) != 0};
}

void TaskState::intend(const connector::ObjectRecord& object) {
  looked_up_values_->sync(object.table);
  in_one_step([&] { write_object(object); });
}

void TaskState::write_object(const connector::ObjectRecord& object) {
  if (object.table == model::TableName()) {
    for (const auto& [table, counts] : std::exchange(noted_counts_, {})) write_row_counts(table, counts);
  }
  auto counts = noted_counts_.extract(object.table);
  if (!counts.empty()) write_row_counts(object.table, counts.mapped());
  Statement(*this,
            fmt::format("INSERT OR REPLACE INTO objects ({}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        kObjectColumns))
      .text(object.table.schema)
      .text(object.table.table)
      .integer(static_cast<std::int64_t>(object.phase))
      .integer(static_cast<std::int64_t>(object.load_epoch))
      .text(object.key)
      .blob(object.first.commit.key())
      .text(object.first.commit.text())
      .integer(static_cast<std::int64_t>(object.first.ordinal))
      .blob(object.last.commit.key())
      .text(object.last.commit.text())
      .integer(static_cast<std::int64_t>(object.last.ordinal))
      .integer(object.rows)
      .integer(object.done ? 1 : 0)
      .run();
}

void TaskState::done(const model::TableName& table, const std::string& key) {
  connector::ChangePoint last;
  {
    std::lock_guard lock(mutex_);
    Statement row(*this,
                  "UPDATE objects SET done = 1 WHERE target_schema = ? AND target_table = ? AND key = ? "
                  "RETURNING last_commit, last_text, last_ordinal");
    row.text(table.schema).text(table.table).text(key);
    while (row.step()) {
      last = {{row.text_at(0), row.text_at(1)}, static_cast<std::uint64_t>(row.integer_at(2))};
    }
  }
  if (!last.commit.empty()) looked_up_values_->forget(table, last);
}

void TaskState::forget(const model::TableName& table, const std::string& key) {
  std::lock_guard lock(mutex_);
  // The row stays, so that last_changes() still knows the greatest name and cut.
  Statement(*this, "UPDATE objects SET removed = 1 WHERE target_schema = ? AND target_table = ? AND key = ?")
      .text(table.schema)
      .text(table.table)
      .text(key)
      .run();
}

void TaskState::forget_load(const model::TableName& table, std::uint64_t load_epoch) {
  std::lock_guard lock(mutex_);
  Statement(
      *this,
      "DELETE FROM objects WHERE target_schema = ? AND target_table = ? AND phase = ? AND load_epoch = ?")
      .text(table.schema)
      .text(table.table)
      .integer(static_cast<int>(connector::ObjectPhase::kLoad))
      .integer(static_cast<std::int64_t>(load_epoch))
      .run();
}

std::optional<std::string> TaskState::get(std::string_view name) const {
  std::lock_guard lock(mutex_);
  Statement found(*this, "SELECT value FROM notes WHERE name = ?");
  if (!found.text(name).step()) return std::nullopt;
  return found.text_at(0);
}

void TaskState::set(std::string_view name, std::string_view value) {
  std::lock_guard lock(mutex_);
  Statement(*this, "INSERT OR REPLACE INTO notes VALUES (?, ?)").text(name).text(value).run();
}

}  // namespace ferry::engine
