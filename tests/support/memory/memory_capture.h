#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <set>

#include "tests/support/memory/memory_connection.h"
#include "tests/support/memory/memory_source.h"

namespace ferry::test_support {

// The capture over a MemoryDatabase: reads the log from its kept beginning, leaves out what ended at or
// before the start, and yields the rest in the order the options ask for. Threads as SourceCapture says.
class MemoryCapture : public connector::SourceCapture {
 public:
  MemoryCapture(MemoryConnection connection, connector::TaskNotes& notes, MemorySourceOptions options)
      : connection_(connection), database_(connection.database()), notes_(notes), options_(options) {}

  connector::CaptureStart prepare(const connector::CaptureScope& scope, std::stop_token stop) override;
  void verify(const connector::CaptureScope& scope, const model::Checkpoint& checkpoint,
              std::stop_token stop) override;
  model::StreamPosition current_position(std::stop_token stop) override;
  std::vector<std::string> created() const override;
  void start(const model::StreamPosition& from, std::stop_token stop) override;
  void next(model::ChangeBatch& batch, std::size_t bytes_max, std::chrono::milliseconds wait,
            std::stop_token stop) override;
  void keep_alive() override;
  void acknowledge(const model::StreamPosition& position) override;
  std::vector<std::string> clean(const connector::CaptureScope& scope, std::stop_token stop) override;

 private:
  void wait_for_open_transactions(std::chrono::milliseconds timeout, std::stop_token stop);
  void meet_deadline();  // Cuts the connection where it has been idle for too long.
  void send_acknowledgement();
  void announce_unknown_tables();
  void read_log();
  void take(LogEntry entry);
  void assemble(const LogEntry& entry);
  bool in_scope(const LogEntry& entry);
  void yield(const LogEntry& entry, model::ChangeBatch& batch);
  model::TransactionStamp stamp_at(std::uint64_t transaction, std::uint64_t commit,
                                   base::UnixMicros time) const;
  std::uint64_t resume_number(std::uint64_t after) const;

  MemoryConnection connection_;
  MemoryDatabase& database_;
  connector::TaskNotes& notes_;
  MemorySourceOptions options_;
  connector::CaptureScope scope_;
  std::set<std::uint64_t> tables_in_scope_;  // By source number, so that a renamed table stays.

  std::uint64_t start_ = 0;
  std::uint64_t read_to_ = 0;                          // Where the last log entry taken ends.
  std::set<std::uint64_t> left_out_;                   // Transactions that ended at or before the start.
  std::map<std::uint64_t, std::uint64_t> open_since_;  // Transactions read and not ended, by their begin.
  std::map<std::uint64_t, std::vector<LogEntry>> assembling_;  // kCommitOrder: the same ones' changes.
  // Ready to be yielded. A commit entry's stamp is made when it is taken, while what is open then is known.
  struct Ready {
    LogEntry entry;
    std::optional<model::TransactionStamp> stamp;
  };
  std::deque<Ready> ready_;
  std::chrono::steady_clock::time_point last_contact_;
  std::optional<std::chrono::steady_clock::time_point> last_heartbeat_;

  std::mutex acknowledged_mutex_;  // acknowledge() comes from another thread.
  std::uint64_t acknowledged_ = 0;
};

}  // namespace ferry::test_support
