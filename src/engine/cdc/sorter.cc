#include "engine/cdc/sorter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace ferry::engine {
namespace {

using base::Error;
using base::ErrorKind;
using model::Change;
using model::ChangeBatch;
using model::ChangeKind;
using model::ChangeReader;

// A spilled run is read back whole, so a run is cut at this size; one larger change makes a larger run.
constexpr std::size_t kSpillRunBytes = 1 << 20;

Error spill_error(const std::filesystem::path& file) {
  return Error(
      ErrorKind::kStateUnusable,
      {.message = fmt::format("cannot write the spill file {}: {}", file.string(), ::strerror(errno)),
       .remedy = "Free disk space there, or move the state folder with --state.",
       .vendor_code = {}});
}

// A file without a name: it is gone with the process that wrote it.
class SpillFile {
 public:
  SpillFile(const std::filesystem::path& folder, std::uint64_t number)
      : path_(folder / fmt::format("transaction-{}", number)) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor_ < 0) throw spill_error(path_);
    ::unlink(path_.c_str());
  }
  ~SpillFile() { ::close(descriptor_); }
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  // Returns where the bytes stand.
  std::size_t append(std::string_view bytes) {
    std::size_t at = size_;
    while (!bytes.empty()) {
      ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw spill_error(path_);
      bytes.remove_prefix(static_cast<std::size_t>(written));
      size_ += static_cast<std::size_t>(written);
    }
    return at;
  }

  std::string read(std::size_t at, std::size_t size) const {
    std::string bytes(size, '\0');
    std::size_t done = 0;
    while (done < size) {
      ssize_t got = ::pread(descriptor_, bytes.data() + done, size - done, static_cast<off_t>(at + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) throw spill_error(path_);
      done += static_cast<std::size_t>(got);
    }
    return bytes;
  }

 private:
  std::filesystem::path path_;
  int descriptor_;
  std::size_t size_ = 0;
};

}  // namespace

struct PendingTransaction {
  std::vector<ChangeRun> runs;
  std::set<std::uint64_t> rolled_back;  // Subtransactions.
  std::unique_ptr<SpillFile> file;
  std::size_t memory_runs_from = 0;  // Runs before this index are spilled.
  std::int64_t memory_bytes = 0;
  std::int64_t spilled_bytes = 0;
};

namespace {

class SortedTransaction final : public model::Transaction {
 public:
  SortedTransaction(model::TransactionStamp stamp, std::unique_ptr<PendingTransaction> pending)
      : stamp_(std::move(stamp)), pending_(std::move(pending)) {}

  const model::TransactionStamp& stamp() const override { return stamp_; }

  bool next(Change& change) override {
    while (true) {
      if (reader_ && reader_->next(change)) {
        if (pending_->rolled_back.empty() || !pending_->rolled_back.contains(change.subtransaction))
          return true;
        continue;
      }
      if (run_ == pending_->runs.size()) return false;
      open(pending_->runs[run_++]);
    }
  }

 private:
  void open(ChangeRun& run) {
    reader_.reset();
    if (run.batch) {
      batch_ = run.batch;
      reader_.emplace(*batch_, run.from, run.from + run.size);
      run.batch.reset();  // What was read is not needed again.
      return;
    }
    batch_ = std::make_shared<ChangeBatch>(
        ChangeBatch::from_raw(pending_->file->read(run.from, run.size), std::move(run.tables)));
    reader_.emplace(*batch_);
  }

  model::TransactionStamp stamp_;
  std::unique_ptr<PendingTransaction> pending_;
  std::size_t run_ = 0;
  std::shared_ptr<const ChangeBatch> batch_;
  std::optional<ChangeReader> reader_;
};

}  // namespace

Sorter::Sorter(SorterOptions options) : options_(std::move(options)) {}
Sorter::~Sorter() = default;

PendingTransaction& Sorter::open(std::uint64_t transaction) {
  auto found = open_.find(transaction);
  if (found != open_.end()) return *found->second;
  throw Error(ErrorKind::kSourceProtocol,
              fmt::format("the source sent a change of transaction {} outside of it", transaction));
}

void Sorter::append(std::uint64_t transaction, const std::shared_ptr<const ChangeBatch>& batch,
                    std::size_t from, std::size_t to) {
  if (from == to) return;
  PendingTransaction& pending = open(transaction);
  auto size = static_cast<std::int64_t>(to - from);
  pending.runs.push_back({.batch = batch, .from = from, .size = to - from, .tables = {}});
  pending.memory_bytes += size;
  memory_bytes_ += size;
}

// A change of a table outside any transaction is yielded by itself, where it stands among the commits.
void Sorter::add_outside(const std::shared_ptr<const ChangeBatch>& batch, std::size_t from, std::size_t to) {
  auto alone = std::make_unique<PendingTransaction>();
  alone->memory_bytes = static_cast<std::int64_t>(to - from);
  alone->runs.push_back({.batch = batch, .from = from, .size = to - from, .tables = {}});
  memory_bytes_ += alone->memory_bytes;
  ready_.push_back({{}, std::move(alone)});
}

void Sorter::add(std::shared_ptr<const ChangeBatch> batch) {
  // A run is the longest stretch of one transaction's row and table changes.
  ChangeReader reader(*batch);
  std::uint64_t run_transaction = 0;
  std::size_t run_from = 0;
  std::size_t at = 0;
  auto end_run = [&] {
    append(run_transaction, batch, run_from, at);
    run_from = at;
  };
  for (Change change; at = reader.offset(), reader.next(change);) {
    bool frame = change.kind == ChangeKind::kBegin || change.kind == ChangeKind::kCommit ||
                 change.kind == ChangeKind::kRollback || change.kind == ChangeKind::kHeartbeat;
    if (frame || change.transaction != run_transaction || at - run_from >= kSpillRunBytes) {
      end_run();
      run_transaction = change.transaction;
    }
    if (!frame && change.transaction == 0) {
      add_outside(batch, at, reader.offset());
      run_from = reader.offset();
    }
    if (!frame) continue;
    run_from = reader.offset();
    switch (change.kind) {
      case ChangeKind::kBegin:
        open_.try_emplace(change.transaction, std::make_unique<PendingTransaction>());
        break;
      case ChangeKind::kCommit:
        open(change.transaction);
        ready_.push_back({*change.stamp, std::move(open_.extract(change.transaction).mapped())});
        break;
      case ChangeKind::kRollback:
        if (change.subtransaction != change.transaction) {
          open(change.transaction).rolled_back.insert(change.subtransaction);
        } else {
          PendingTransaction& dropped = open(change.transaction);
          memory_bytes_ -= dropped.memory_bytes;
          spilled_bytes_ -= dropped.spilled_bytes;
          open_.erase(change.transaction);
        }
        break;
      default: ready_.push_back({*change.stamp, nullptr});
    }
  }
  end_run();
  spill_beyond_memory();
}

void Sorter::spill_beyond_memory() {
  while (memory_bytes_ > options_.memory_bytes_max) {
    PendingTransaction* largest = nullptr;
    auto consider = [&](PendingTransaction* pending) {
      if (pending == nullptr || pending->memory_bytes == 0) return;
      if (largest == nullptr || pending->memory_bytes > largest->memory_bytes) largest = pending;
    };
    for (auto& [number, pending] : open_) consider(pending.get());
    for (Ready& ready : ready_) consider(ready.transaction.get());
    if (largest == nullptr) return;
    spill(*largest);
  }
}

void Sorter::spill(PendingTransaction& transaction) {
  if (!transaction.file) {
    transaction.file = std::make_unique<SpillFile>(options_.spill_folder, ++files_);
    base::log_info(base::kSorter, "a transaction of {} bytes so far goes to disk", transaction.memory_bytes);
  }
  for (std::size_t i = transaction.memory_runs_from; i < transaction.runs.size(); ++i) {
    ChangeRun& run = transaction.runs[i];
    std::size_t at = transaction.file->append(run.batch->raw(run.from, run.from + run.size));
    run.tables = run.batch->tables();
    run.from = at;
    run.batch.reset();
  }
  transaction.memory_runs_from = transaction.runs.size();
  memory_bytes_ -= transaction.memory_bytes;
  spilled_bytes_ += transaction.memory_bytes;
  transaction.spilled_bytes += transaction.memory_bytes;
  transaction.memory_bytes = 0;
}

std::optional<Sorter::Item> Sorter::next() {
  if (ready_.empty()) return std::nullopt;
  Ready ready = std::move(ready_.front());
  ready_.pop_front();
  if (!ready.transaction) return Quiet{std::move(ready.stamp)};
  memory_bytes_ -= ready.transaction->memory_bytes;
  spilled_bytes_ -= ready.transaction->spilled_bytes;
  return std::make_unique<SortedTransaction>(std::move(ready.stamp), std::move(ready.transaction));
}

}  // namespace ferry::engine
