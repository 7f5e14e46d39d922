#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "model/transaction.h"

namespace ferry::engine {

struct SorterOptions {
  std::int64_t memory_bytes_max = 64 << 20;  // Changes of transactions in memory; beyond it they go to disk.
  std::filesystem::path spill_folder;        // Exists; the sorter's files in it do not outlive the sorter.
};

// A run of changes of one transaction, in memory or in its spill file.
struct ChangeRun {
  std::shared_ptr<const model::ChangeBatch> batch;  // Null once spilled.
  std::size_t from = 0;                             // In the batch, or in the spill file.
  std::size_t size = 0;
  std::vector<model::TableVersionPtr> tables;  // Spilled runs only.
};

struct PendingTransaction;

// Makes transactions, in commit order, of changes that interleave in log order; drops what was rolled back.
// It is the one elastic place between source and target: beyond its memory it spills the largest transactions
// to disk. Nothing in it is acknowledged to the source, so a crash loses nothing: the source sends it again.
// Used by one thread.
class Sorter {
 public:
  explicit Sorter(SorterOptions options);
  ~Sorter();
  Sorter(const Sorter&) = delete;
  Sorter& operator=(const Sorter&) = delete;

  // Takes the next batch of the log. Throws Error(kSourceProtocol) for changes outside a transaction, and
  // Error(kStateUnusable) when the spill folder cannot be written.
  void add(std::shared_ptr<const model::ChangeBatch> batch);

  // Nothing was committed up to the stamp's resume_position since the transaction before it.
  struct Quiet {
    model::TransactionStamp stamp;
  };
  using Item = std::variant<std::unique_ptr<model::Transaction>, Quiet>;
  // The next committed transaction or quiet stretch, in commit order. A table change outside any transaction
  // comes as a transaction of its own with an empty stamp. The transaction must be gone before the next call
  // of next() or add().
  std::optional<Item> next();

  // Changes of transactions that are not committed, or not yet taken by next().
  std::int64_t memory_bytes() const { return memory_bytes_; }
  std::int64_t spilled_bytes() const { return spilled_bytes_; }

 private:
  friend struct PendingTransaction;

  PendingTransaction& open(std::uint64_t transaction);
  void append(std::uint64_t transaction, const std::shared_ptr<const model::ChangeBatch>& batch,
              std::size_t from, std::size_t to);
  void add_outside(const std::shared_ptr<const model::ChangeBatch>& batch, std::size_t from, std::size_t to);
  void spill_beyond_memory();
  void spill(PendingTransaction& transaction);

  struct Ready {
    model::TransactionStamp stamp;
    std::unique_ptr<PendingTransaction> transaction;  // Null for a quiet stretch.
  };

  SorterOptions options_;
  std::map<std::uint64_t, std::unique_ptr<PendingTransaction>> open_;
  std::deque<Ready> ready_;
  std::int64_t memory_bytes_ = 0;
  std::int64_t spilled_bytes_ = 0;
  std::uint64_t files_ = 0;
};

}  // namespace ferry::engine
