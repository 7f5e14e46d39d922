#include "connectors/postgres/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ferry::postgres {
namespace {

using base::Error;
using base::ErrorKind;

struct Meaning {
  std::string_view sqlstate;  // All five characters, or the two of its class.
  ErrorKind kind;
  std::string_view remedy;
};

// The first match counts. PostgreSQL manual, appendix A "PostgreSQL Error Codes".
constexpr std::array kMeanings = {
    Meaning{"28", ErrorKind::kSourceAuthentication,
            "Check the endpoint's user name and password, and the server's pg_hba.conf."},
    Meaning{"3D000", ErrorKind::kSourceConfiguration, "Check the endpoint's database name."},
    Meaning{"42501", ErrorKind::kSourcePrivilege, "Grant the source user the missing right."},
    Meaning{"55006", ErrorKind::kSourceSlotInUse, "Stop the process that holds the replication slot."},
    Meaning{"53400", ErrorKind::kSourceNoSlot,
            "Raise max_replication_slots on the server, or drop replication slots that nobody reads."},
    Meaning{"53300", ErrorKind::kSourceUnreachable,
            "Raise max_connections on the server, for ongoing changes max_wal_senders, or try again later."},
    Meaning{"57P03", ErrorKind::kSourceUnreachable, "Wait until the server takes connections."},
    Meaning{"58P01", ErrorKind::kSourceSlotLost, "The log is gone: reload the task."},
    Meaning{"55000", ErrorKind::kSourceConfiguration, ""},
    Meaning{"57014", ErrorKind::kSourceTimeout,
            "Raise ExecuteTimeout, or look for what slows the server down."},
    Meaning{"57P", ErrorKind::kSourceConnectionLost, ""},
    Meaning{"08", ErrorKind::kSourceConnectionLost, ""},
    Meaning{"40", ErrorKind::kSourceConnectionLost, ""},
    Meaning{"53", ErrorKind::kSourceConnectionLost, "The server ran out of a resource; its log says more."},
    Meaning{"0A", ErrorKind::kSourceConfiguration, ""},
    Meaning{"42601", ErrorKind::kInternal,
            "Report this: Ferry sent a statement that this server does not know."},
};

// The failures that a table's own state explains: it went, it changed, it may not be read, it stays locked,
// or its pages are damaged.
bool is_of_table(std::string_view state) {
  return state == "42P01" || state == "42501" || state == "42703" || state == "55P03" || state == "42809" ||
         state == "3F000" || state.starts_with("22") || state.starts_with("XX") || state.starts_with("40") ||
         state == "57014";
}

const Meaning* find_meaning(std::string_view state) {
  if (state.empty()) return nullptr;
  for (const Meaning& meaning : kMeanings) {
    if (state.starts_with(meaning.sqlstate)) return &meaning;
  }
  return nullptr;
}

// "…: FATAL:  28P01: password authentication failed …": the five characters between colons.
std::string_view sqlstate_in(std::string_view text) {
  for (std::size_t colon = text.find(": "); colon != std::string_view::npos;
       colon = text.find(": ", colon + 1)) {
    std::size_t at = colon + 2;
    while (at < text.size() && text[at] == ' ') ++at;
    if (text.size() < at + 6 || text[at + 5] != ':') continue;
    std::string_view found = text.substr(at, 5);
    // Every SQLSTATE of a server has a digit, which no word of five capitals has.
    bool fits = found.find_first_of("0123456789") != std::string_view::npos;
    for (char c : found) fits = fits && ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'));
    if (fits) return found;
  }
  return {};
}

// What stands behind one of these, up to the next, may be of several lines.
bool starts_field(std::string_view line) {
  constexpr std::array<std::string_view, 6> kFields = {
      "DETAIL:", "HINT:", "CONTEXT:", "QUERY:", "STATEMENT:", "LOCATION:"};
  return std::ranges::any_of(kFields, [&](std::string_view field) { return line.starts_with(field); });
}

// What was said first, in one line, for each address that was tried: without the fields that verbose errors
// add, without libpq's questions ("Is the server running …?"), and without a full stop at the end.
std::string primary_of(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  std::string result;
  bool in_field = false;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    bool continues = line.starts_with('\t');
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(kBlanks)));
    line = line.substr(0, line.find_last_not_of(kBlanks) + 1);
    if (line.starts_with("connection to server")) in_field = false;
    in_field |= starts_field(line);
    if (line.empty() || in_field || (continues && line.ends_with('?'))) continue;
    if (line.ends_with('.')) line.remove_suffix(1);
    if (!result.empty()) result += continues ? " " : "; ";
    result += line;
  }
  return result;
}

bool is_about_tls(std::string_view text) {
  return text.find("SSL") != std::string_view::npos || text.find("certificate") != std::string_view::npos;
}

}  // namespace

Error statement_error(const ServerReport& report, std::string_view doing, Concern concern) {
  std::string message = fmt::format("cannot {}: {}", doing, primary_of(report.message));
  if (concern == Concern::kTable && is_of_table(report.sqlstate)) {
    return Error(
        ErrorKind::kSourceTable,
        {.message = std::move(message),
         .remedy = report.sqlstate == sqlstate::kInsufficientPrivilege
                       ? "Grant the source user SELECT on the table and USAGE on its schema; where a policy "
                         "of row-level security hides rows, BYPASSRLS."
                       : "",
         .vendor_code = report.sqlstate});
  }
  const Meaning* meaning = find_meaning(report.sqlstate);
  if (meaning == nullptr) {
    // Without a SQLSTATE the text is libpq's: the connection broke.
    ErrorKind kind =
        report.sqlstate.empty() ? ErrorKind::kSourceConnectionLost : ErrorKind::kSourceConfiguration;
    return Error(kind, {.message = std::move(message), .vendor_code = report.sqlstate});
  }
  return Error(meaning->kind, {.message = std::move(message),
                               .remedy = std::string(meaning->remedy),
                               .vendor_code = report.sqlstate});
}

Error connect_error(std::string_view libpq_message, std::string_view where) {
  std::string state(sqlstate_in(libpq_message));
  std::string said = primary_of(libpq_message);
  // The code is told once, behind the message.
  if (auto at = said.find(state + ": "); !state.empty() && at != std::string::npos)
    said.erase(at, state.size() + 2);
  std::string message = fmt::format("cannot connect to {}: {}", where, said);
  // The pg_hba.conf refusal of an unencrypted connection speaks of SSL too, so the SQLSTATE is asked first.
  if (const Meaning* meaning = find_meaning(state)) {
    ErrorKind kind =
        meaning->kind == ErrorKind::kSourceConnectionLost ? ErrorKind::kSourceUnreachable : meaning->kind;
    return Error(kind, {.message = std::move(message),
                        .remedy = std::string(meaning->remedy),
                        .vendor_code = std::move(state)});
  }
  if (state.empty() && is_about_tls(libpq_message)) {
    return Error(ErrorKind::kSourceTls,
                 {.message = std::move(message),
                  .remedy = "Check the host's name and the certificate authority, ?sslrootcert=FILE in a URI "
                            "or CertificatePem in a document, or choose another ?sslmode= or SslMode."});
  }
  if (state.empty() && libpq_message.find("no password supplied") != std::string_view::npos) {
    return Error(ErrorKind::kSourceAuthentication,
                 {.message = std::move(message), .remedy = "Give the endpoint a password."});
  }
  return Error(ErrorKind::kSourceUnreachable, {.message = std::move(message),
                                               .remedy = "Check the endpoint's server name and port.",
                                               .vendor_code = std::move(state)});
}

}  // namespace ferry::postgres
