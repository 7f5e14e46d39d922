#include "tests/support/memory/memory_mark.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

namespace ferry::test_support {
namespace {

bool read_number(std::string_view& text, std::uint64_t& number) {
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool skip(std::string_view& text, char wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::shared_ptr<const MemoryMark> MemoryMark::parse(std::string_view text) {
  MemorySnapshot snapshot;
  if (!read_number(text, snapshot.next) || !skip(text, ':')) return nullptr;
  for (std::uint64_t id = 0; read_number(text, id);) {
    snapshot.in_progress.insert(id);
    if (!skip(text, ',')) break;
  }
  if (!skip(text, ':') || !read_number(text, snapshot.log_end) || !text.empty()) return nullptr;
  return std::make_shared<MemoryMark>(std::move(snapshot));
}

model::Coverage MemoryMark::covers(const model::TransactionStamp& transaction) const {
  if (snapshot_.sees(transaction.id)) return model::Coverage::kInCopy;
  // Whatever the copy contains was in the log when it was made.
  bool later = log_number(transaction.commit_position) > snapshot_.log_end;
  return later ? model::Coverage::kAlwaysAfter : model::Coverage::kAfterCopy;
}

std::string MemoryMark::to_text() const {
  return fmt::format("{}:{}:{}", snapshot_.next, fmt::join(snapshot_.in_progress, ","), snapshot_.log_end);
}

}  // namespace ferry::test_support
