#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connector/connector.h"
#include "model/change_batch.h"
#include "model/record_batch.h"

// What the server tests of this folder share.
namespace ferry::postgres::testing {

class MemoryNotes final : public connector::TaskNotes {
 public:
  std::optional<std::string> get(std::string_view name) const override;
  void set(std::string_view name, std::string_view value) override;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> notes_;
};

model::Endpoint endpoint_at(int port, std::string_view user = "postgres",
                            std::string_view password = "secret");
std::unique_ptr<connector::Source> source_at(const model::Endpoint& endpoint);

// A cell as a value: its state, and its bytes in canonical form.
struct OwnedCell {
  model::CellState state = model::CellState::kNull;
  std::string bytes;

  friend auto operator<=>(const OwnedCell&, const OwnedCell&) = default;
};
using Row = std::vector<OwnedCell>;

// All rows of a table, in canonical cells, and the mark they belong to.
struct Unloaded {
  model::TableVersionPtr table;
  std::shared_ptr<const model::SnapshotMark> mark;
  std::vector<Row> rows;
};
Unloaded unload_all(connector::Source& source, const connector::UnloadRequest& request);
connector::UnloadRequest request_of(const model::TableName& table);
std::vector<Row> rows_of(const model::RecordBatch& batch);

struct OwnedChange {
  model::ChangeKind kind = model::ChangeKind::kHeartbeat;
  std::uint64_t transaction = 0;
  std::uint64_t subtransaction = 0;
  model::TableVersionPtr table;
  Row before;
  Row after;
};

struct OwnedTransaction {
  model::TransactionStamp stamp;
  std::vector<OwnedChange> changes;
};

// Puts a capture's batches together to whole transactions, without what was rolled back.
class Collector {
 public:
  explicit Collector(connector::SourceCapture& capture) : capture_(capture) {}

  // The next whole transaction; nothing when there was none within `wait`.
  std::optional<OwnedTransaction> next(std::chrono::milliseconds wait = std::chrono::seconds(20));
  std::optional<model::TransactionStamp> last_heartbeat() const { return heartbeat_; }
  // The table changes that stood outside any transaction since the last call.
  std::vector<OwnedChange> take_outside() { return std::exchange(outside_, {}); }
  // Reads once, whatever it finds.
  void poll(std::chrono::milliseconds wait);
  // Changes read of transactions whose end has not been read.
  std::size_t open_changes() const;

 private:
  connector::SourceCapture& capture_;
  std::deque<OwnedTransaction> done_;
  std::map<std::uint64_t, std::vector<OwnedChange>> open_;
  std::vector<OwnedChange> outside_;
  std::optional<model::TransactionStamp> heartbeat_;
};

connector::CaptureScope scope_of(std::string task_name, std::vector<model::TableName> tables);

}  // namespace ferry::postgres::testing
