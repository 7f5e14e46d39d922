#include "connectors/postgres/new_tables.h"

#include <fmt/format.h>

#include <sstream>
#include <string>

namespace ferry::postgres {
namespace {

// "16412 0/1A2B3C8 16420 0/1A2B400"
constexpr std::string_view kNote = "postgres.new_tables";

}  // namespace

std::map<std::uint32_t, Lsn> NewTables::start(Lsn from) {
  noted_.clear();
  std::istringstream text(notes_.get(kNote).value_or(""));
  std::uint32_t oid = 0;
  for (std::string lsn; text >> oid >> lsn;) {
    Lsn published = parse_lsn(lsn).value_or(Lsn{0});
    if (published >= from) noted_[oid] = published;
  }
  return noted_;
}

void NewTables::note(std::uint32_t oid, Lsn published) {
  noted_[oid] = published;
  write();
}

void NewTables::settle(Lsn acknowledged, const std::map<std::uint32_t, model::TableName>& listed) {
  auto done = [&](const auto& table) { return table.second < acknowledged || !listed.contains(table.first); };
  if (std::erase_if(noted_, done) > 0) write();
}

void NewTables::write() {
  std::string text;
  for (const auto& [oid, lsn] : noted_)
    text += fmt::format("{}{} {}", text.empty() ? "" : " ", oid, to_string(lsn));
  notes_.set(kNote, text);
}

}  // namespace ferry::postgres
