#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "engine/replication_task.h"
#include "engine/task_state.h"
#include "tests/engine/progress_watch.h"
#include "tests/support/memory/memory_connector.h"

namespace ferry::test_support {

inline const model::TableName kOrders = {"shop", "orders"};  // With a key.
inline const model::TableName kItems = {"shop", "items"};    // With a key.
inline const model::TableName kVisits = {"shop", "visits"};  // Without one: the log has whole old rows.
inline constexpr std::chrono::seconds kDeadline{60};

// Two columns: id INT4, the key where there is one, and name WSTRING.
model::TableVersion shape_of(const model::TableName& name, model::RowIdentity identity);

// What a task told its observer. Thread-safe.
class Events final : public engine::TaskObserver {
 public:
  void load_finished(std::int64_t log_bytes_kept) override;
  void table_failed(const model::TableName& table, std::string_view error) override;
  void table_loaded(const model::TableName& table, std::int64_t rows, double seconds) override;
  void changes_started(std::string_view position) override;
  void changes_applied(std::int64_t transactions, std::int64_t rows, std::string_view position) override;
  void retrying(std::string_view error, std::int64_t seconds) override;

  struct Seen {
    bool load_finished = false;
    int changes_started = 0;
    std::string started_at;  // The last of them.
    std::vector<model::TableName> failed;
    std::vector<model::TableName> loaded;
    std::vector<std::int64_t> waits_s;
  };
  Seen seen() const;
  // Waits until `holds` is true, looking at each event and now and then; false when kDeadline passes first.
  bool wait_until(const std::function<bool()>& holds) const;

 private:
  void note(const std::function<void(Seen&)>& change);

  mutable std::mutex mutex_;  // Guards seen_.
  mutable std::condition_variable changed_;
  Seen seen_;
};

// A source, a target and a state folder that outlive every run of a task, as a real source, target and disk
// do.
class EngineBench {
 public:
  explicit EngineBench(TargetForm form);
  ~EngineBench();
  EngineBench(const EngineBench&) = delete;
  EngineBench& operator=(const EngineBench&) = delete;

  // Makes the three tables with `rows` rows each.
  void make_tables(int rows);
  // One committed transaction over all tables: inserts, updates, changes of keys, deletes, and a part rolled
  // back.
  void write();
  void write(int transactions) {
    for (int i = 0; i < transactions; ++i) write();
  }

  // Whether a reader of the target sees the source's rows. Throws std::logic_error when what is stored is
  // wrong.
  bool equal() const;
  bool equal(const model::TableName& table) const;
  std::unique_ptr<engine::TaskState> open_state() const;

  MemoryDatabase database;
  MemoryStorage storage;
  Faults faults;
  ProgressWatch watch;
  Events events;
  model::TaskDefinition definition;
  MemorySourceOptions source_options;
  MemoryTargetOptions target_options;
  engine::TaskOptions task_options;
  std::vector<std::string> mapping_patterns;  // As `ferry copy --tables`; none = every table.
  base::Clock* clock = &base::Clock::real();

 private:
  struct LiveKeys {
    std::vector<std::int32_t> orders;
    std::vector<std::int32_t> items;
  };

  void change(MemoryTransaction& transaction, const model::TableName& table, std::vector<std::int32_t>& keys);

  const std::filesystem::path folder_;
  LiveKeys live_;
  std::int32_t next_key_ = 0;
  int written_ = 0;
};

// One run of the bench's task in a thread of its own: what a process is. Destroying it before its end asks it
// to stop.
class TaskRun {
 public:
  explicit TaskRun(EngineBench& bench);
  ~TaskRun();
  TaskRun(const TaskRun&) = delete;
  TaskRun& operator=(const TaskRun&) = delete;

  bool ended() const;
  void request_stop() { stop_.request_stop(); }
  // Waits for the end. Throws what the task threw.
  engine::TaskResult result();
  // Waits for the end; the error it ended with, or nothing.
  std::optional<base::ErrorKind> error();

 private:
  const std::unique_ptr<engine::TaskState> state_;
  connector::Registry registry_;
  const mapping::TableMapping mapping_;
  engine::ReplicationTask task_;
  std::stop_source stop_;
  std::future<engine::TaskResult> result_;
};

}  // namespace ferry::test_support
