#include "connectors/postgres/position.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/error.h"

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;

// The whole text as one number; nothing otherwise.
template <typename T>
std::optional<T> parse_number(std::string_view text, int base) {
  T number{};
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

constexpr std::string_view kCheckpointPrefix = "checkpoint:V1#";

}  // namespace

std::string to_string(Lsn lsn) {
  return fmt::format("{:X}/{:X}", number_of(lsn) >> 32U, number_of(lsn) & 0xFFFF'FFFFU);
}

std::optional<Lsn> parse_lsn(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos || slash > 8 || text.size() - slash > 9) return std::nullopt;
  auto high = parse_number<std::uint32_t>(text.substr(0, slash), 16);
  auto low = parse_number<std::uint32_t>(text.substr(slash + 1), 16);
  if (!high || !low) return std::nullopt;
  return Lsn{(std::uint64_t{*high} << 32U) | *low};
}

model::StreamPosition position_of(Lsn lsn) {
  std::string key;
  base::append_big_endian(key, number_of(lsn));
  return {std::move(key), to_string(lsn)};
}

Lsn lsn_of(const model::StreamPosition& position) {
  if (position.empty()) return Lsn{0};
  if (position.key().size() != sizeof(std::uint64_t)) {
    throw Error(ErrorKind::kStateUnusable,
                fmt::format("the stored position '{}' is not one of a PostgreSQL source", position.text()));
  }
  return Lsn{base::load_big_endian<std::uint64_t>(position.key().data())};
}

Lsn parse_start_position(std::string_view text) {
  std::string_view native = text;
  if (text.starts_with(kCheckpointPrefix)) {
    native.remove_prefix(kCheckpointPrefix.size());
    native.remove_prefix(std::min(native.size(), native.find('#') + 1));
    native = native.substr(0, native.find('#'));
  }
  auto lsn = parse_lsn(native);
  if (lsn && number_of(*lsn) != 0) return *lsn;
  throw Error(ErrorKind::kDocumentInvalid,
              {.message = fmt::format("'{}' is not a PostgreSQL start position", text),
               .remedy = "Give a log position such as 4AF/B00000D0, or a recovery checkpoint of this task."});
}

std::optional<Snapshot> Snapshot::parse(std::string_view text) {
  auto first = text.find(':');
  auto second = text.find(':', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  auto xmin = parse_number<std::uint64_t>(text.substr(0, first), 10);
  auto xmax = parse_number<std::uint64_t>(text.substr(first + 1, second - first - 1), 10);
  if (!xmin || !xmax || *xmin > *xmax) return std::nullopt;

  Snapshot snapshot{.xmin = *xmin, .xmax = *xmax, .xip = {}};
  std::string_view list = text.substr(second + 1);
  while (!list.empty()) {
    std::string_view item = list.substr(0, list.find(','));
    auto xid = parse_number<std::uint64_t>(item, 10);
    if (!xid) return std::nullopt;
    snapshot.xip.push_back(*xid);
    list.remove_prefix(std::min(list.size(), item.size() + 1));
  }
  std::ranges::sort(snapshot.xip);
  return snapshot;
}

std::string Snapshot::to_text() const { return fmt::format("{}:{}:{}", xmin, xmax, fmt::join(xip, ",")); }

bool Snapshot::sees(std::uint32_t xid) const {
  auto distance = static_cast<std::int32_t>(xid - static_cast<std::uint32_t>(xmax));
  std::uint64_t wide = xmax + static_cast<std::uint64_t>(std::int64_t{distance});
  // A distance below zero that leads before transaction 0 stands for one of the epoch ahead.
  if (distance < 0 && wide > xmax) return false;
  if (wide < xmin) return true;
  return wide < xmax && !std::ranges::binary_search(xip, wide);
}

std::shared_ptr<const PostgresMark> PostgresMark::parse(std::string_view text) {
  auto at = text.find('@');
  if (at != std::string_view::npos) {
    auto snapshot = Snapshot::parse(text.substr(0, at));
    auto high = parse_lsn(text.substr(at + 1));
    if (snapshot && high) return std::make_shared<PostgresMark>(std::move(*snapshot), *high);
  }
  throw Error(ErrorKind::kStateUnusable, "the stored mark of a table is not one of a PostgreSQL source");
}

model::Coverage PostgresMark::covers(const model::TransactionStamp& transaction) const {
  if (lsn_of(transaction.commit_position) > high_) return model::Coverage::kAlwaysAfter;
  return snapshot_.sees(static_cast<std::uint32_t>(transaction.id)) ? model::Coverage::kInCopy
                                                                    : model::Coverage::kAfterCopy;
}

std::string PostgresMark::to_text() const { return snapshot_.to_text() + '@' + to_string(high_); }

}  // namespace ferry::postgres
