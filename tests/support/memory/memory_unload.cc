#include "tests/support/memory/memory_unload.h"

#include <charconv>
#include <compare>
#include <utility>

#include "tests/support/memory/memory_mark.h"
#include "tests/support/memory/record_batch_rows.h"

namespace ferry::test_support {
namespace {

using base::Error;
using base::ErrorKind;

// A key's text against a bound's: as numbers where both are, else byte by byte.
std::strong_ordering compare_text(const std::string& a, const std::string& b) {
  std::int64_t number_a = 0;
  std::int64_t number_b = 0;
  auto is_number = [](const std::string& text, std::int64_t& number) {
    auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    return failure == std::errc() && end == text.data() + text.size();
  };
  if (is_number(a, number_a) && is_number(b, number_b)) return number_a <=> number_b;
  return a.compare(b) <=> 0;
}

// The row's key against a bound of at most as many columns.
std::strong_ordering compare_key(const model::TableVersion& table, const Row& row,
                                 const std::vector<std::string>& bound) {
  for (std::size_t i = 0; i < bound.size() && i < table.key.size(); ++i) {
    std::uint32_t column = table.key[i];
    auto order = compare_text(printed(table.columns[column].type, row[column]), bound[i]);
    if (order != 0) return order;
  }
  return std::strong_ordering::equal;
}

bool in_range(const model::TableVersion& table, const Row& row, const connector::KeyRange& range) {
  if (!range.from.empty() && compare_key(table, row, range.from) < 0) return false;
  return range.to.empty() || compare_key(table, row, range.to) < 0;
}

class MemorySlice : public connector::SliceReader {
 public:
  MemorySlice(MemoryConnection connection, const connector::UnloadRequest& request,
              const MemoryDatabase::Held& held, std::span<const Row> rows)
      : connection_(connection), request_(request), held_(held), rows_(rows) {}

  std::optional<model::RecordBatch> next(std::stop_token stop) override {
    return connection_.call("slice.next", stop, [&]() -> std::optional<model::RecordBatch> {
      if (rows_.empty()) return std::nullopt;
      std::size_t count = 0;
      for (std::int64_t bytes = 0; count < rows_.size() && !full(count, bytes); ++count) {
        bytes += bytes_of(rows_[count]);
      }
      auto batch = record_batch_of(held_.shape, rows_.first(count));
      rows_ = rows_.subspan(count);
      return batch;
    });
  }

 private:
  bool full(std::size_t count, std::int64_t bytes) const {
    if (count == 0) return false;
    if (request_.batch_rows_max > 0 && static_cast<std::int64_t>(count) >= request_.batch_rows_max)
      return true;
    return request_.batch_bytes_max > 0 && bytes >= request_.batch_bytes_max;
  }

  MemoryConnection connection_;
  const connector::UnloadRequest& request_;
  const MemoryDatabase::Held& held_;
  std::span<const Row> rows_;
};

class MemoryTableUnload : public connector::TableUnload {
 public:
  MemoryTableUnload(MemoryDatabase& database, Faults& faults, connector::UnloadRequest request,
                    MemoryDatabase::Held held, std::size_t slices)
      : database_(database),
        faults_(faults),
        request_(std::move(request)),
        held_(std::move(held)),
        slices_(slices) {
    if (request_.want_mark) mark_ = std::make_shared<MemoryMark>(held_.snapshot);
    if (request_.range) {
      std::erase_if(held_.rows,
                    [&](const Row& row) { return !in_range(*held_.shape, row, *request_.range); });
    }
  }
  ~MemoryTableUnload() override { database_.let_go(held_.table); }

  const model::TableVersionPtr& table() const override { return held_.shape; }
  std::shared_ptr<const model::SnapshotMark> mark() const override { return mark_; }
  std::size_t slice_count() const override { return slices_; }

  std::unique_ptr<connector::SliceReader> open_slice(std::size_t index, std::stop_token stop) override {
    MemoryConnection connection(database_, faults_);
    return connection.call("unload.open_slice", stop, [&] {
      std::size_t from = held_.rows.size() * index / slices_;
      std::size_t to = held_.rows.size() * (index + 1) / slices_;
      return std::make_unique<MemorySlice>(connection, request_, held_,
                                           std::span(std::as_const(held_.rows)).subspan(from, to - from));
    });
  }

 private:
  MemoryDatabase& database_;
  Faults& faults_;
  connector::UnloadRequest request_;
  MemoryDatabase::Held held_;
  std::size_t slices_;
  std::shared_ptr<const model::SnapshotMark> mark_;
};

}  // namespace

std::unique_ptr<connector::TableUnload> MemoryUnload::begin(const connector::UnloadRequest& request,
                                                            std::stop_token stop) {
  MemoryConnection connection(database_, faults_);
  return connection.call("unload.begin", stop, [&]() -> std::unique_ptr<connector::TableUnload> {
    std::optional<std::chrono::milliseconds> timeout;
    if (request.lock_timeout.count() > 0) timeout = request.lock_timeout;
    MemoryDatabase::Held held;
    switch (database_.hold(request.table, timeout, stop, held)) {
      case MemoryDatabase::LockWait::kGranted: break;
      case MemoryDatabase::LockWait::kNoTable:
        throw Error(ErrorKind::kSourceTable, "there is no table " + to_string(request.table));
      case MemoryDatabase::LockWait::kTimedOut:
        throw Error(ErrorKind::kSourceTable,
                    {.message = "no lock on " + to_string(request.table) + " in time",
                     .remedy = "End the transaction that holds the table."});
      case MemoryDatabase::LockWait::kStopped:
        throw Error(ErrorKind::kStopped,
                    "the wait for a lock on " + to_string(request.table) + " was stopped");
    }
    return std::make_unique<MemoryTableUnload>(database_, faults_, request, std::move(held), slices_);
  });
}

}  // namespace ferry::test_support
