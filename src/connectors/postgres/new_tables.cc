#include "connectors/postgres/new_tables.h"

#include <fmt/format.h>

#include <sstream>
#include <string>

namespace ferry::postgres {
namespace {

// "16412 0/1A2B3C8 16420 0/0"
constexpr std::string_view kNote = "postgres.new_tables";

}  // namespace

std::map<std::uint32_t, Lsn> NewTables::start(Lsn from) {
  noted_.clear();
  earlier_.clear();
  std::istringstream text(notes_.get(kNote).value_or(""));
  std::uint32_t oid = 0;
  for (std::string lsn; text >> oid >> lsn;) {
    Lsn published = parse_lsn(lsn).value_or(Lsn{0});
    if (published != Lsn{0} && published < from) continue;
    noted_[oid] = published;
    earlier_.insert(oid);
  }
  return noted_;
}

void NewTables::note(std::uint32_t oid, Lsn published) {
  noted_[oid] = published;
  write();
}

void NewTables::forget(std::uint32_t oid) {
  if (noted_.erase(oid) > 0) write();
}

void NewTables::settle(Lsn acknowledged) {
  auto done = [&](const auto& table) {
    return earlier_.contains(table.first) || (table.second != Lsn{0} && table.second < acknowledged);
  };
  if (std::erase_if(noted_, done) > 0) write();
  earlier_.clear();
}

void NewTables::write() {
  std::string text;
  for (const auto& [oid, lsn] : noted_)
    text += fmt::format("{}{} {}", text.empty() ? "" : " ", oid, to_string(lsn));
  notes_.set(kNote, text);
}

}  // namespace ferry::postgres
