#include "connectors/postgres/test_decoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace ferry::postgres::test_decoding {
namespace {

using base::Error;
using base::ErrorKind;

// The line itself is not told: it holds values of rows.
[[noreturn]] void broken(std::string_view what) {
  throw Error(ErrorKind::kSourceProtocol, fmt::format("a line of test_decoding has {}", what));
}

class LineReader {
 public:
  explicit LineReader(std::string_view text) : text_(text) {}

  bool at_end() const { return text_.empty(); }
  std::string_view rest() const { return text_; }
  bool next_is(std::string_view literal) const { return text_.starts_with(literal); }

  bool take(std::string_view literal) {
    if (!next_is(literal)) return false;
    text_.remove_prefix(literal.size());
    return true;
  }

  void require(std::string_view literal, std::string_view otherwise) {
    if (!take(literal)) broken(otherwise);
  }

  std::string_view take_bytes(std::size_t size) {
    std::string_view bytes = text_.substr(0, size);
    text_.remove_prefix(size);
    return bytes;
  }

  std::uint32_t take_number() {
    std::uint32_t number = 0;
    auto [end, failed] = std::from_chars(text_.data(), text_.data() + text_.size(), number);
    if (failed != std::errc()) broken("no number where one belongs");
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    return number;
  }

  // What stands between two `quote`s; one within is doubled. Returned as it stands.
  std::string_view take_quoted(char quote) {
    std::size_t at = 1;
    while (true) {
      at = text_.find(quote, at);
      if (text_.empty() || text_.front() != quote || at == std::string_view::npos)
        broken("a quote without end");
      if (at + 1 >= text_.size() || text_[at + 1] != quote) break;
      at += 2;
    }
    std::string_view inside = text_.substr(1, at - 1);
    text_.remove_prefix(at + 1);
    return inside;
  }

  // quote_identifier() of the server's sources: what is not in quotes is of these characters.
  std::string_view take_plain_identifier() {
    std::size_t size = 0;
    while (size < text_.size() && is_plain(text_[size])) ++size;
    if (size == 0) broken("no name where one belongs");
    return take_bytes(size);
  }

  void skip_identifier() {
    if (next_is("\"")) {
      take_quoted('"');
    } else {
      take_plain_identifier();
    }
  }

 private:
  static bool is_plain(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }

  std::string_view text_;
};

// Appends to `out`, which has room for it: what points into `out` stays valid.
std::string_view undouble(std::string_view quoted, char quote, std::string& out) {
  if (quoted.find(quote) == std::string_view::npos) return quoted;
  std::size_t start = out.size();
  for (std::size_t i = 0; i < quoted.size(); ++i) {
    out += quoted[i];
    if (quoted[i] == quote) ++i;
  }
  return std::string_view(out).substr(start);
}

std::string_view take_identifier(LineReader& in, std::string& unquoted) {
  if (in.next_is("\"")) return undouble(in.take_quoted('"'), '"', unquoted);
  return in.take_plain_identifier();
}

std::string_view take_table(LineReader& in) {
  std::string_view start = in.rest();
  in.skip_identifier();
  in.require(".", "a table without a schema");
  in.skip_identifier();
  return start.substr(0, start.size() - in.rest().size());
}

// "integer[]" in "[integer[]]:": brackets stand in pairs, except in quotes.
std::string_view take_type(LineReader& in) {
  in.require("[", "a column without a type");
  std::string_view start = in.rest();
  for (int depth = 0; depth > 0 || !in.next_is("]");) {
    if (in.at_end()) broken("a type without end");
    if (in.next_is("\"")) {
      in.take_quoted('"');
      continue;
    }
    if (in.next_is("[")) ++depth;
    if (in.next_is("]")) --depth;
    in.take_bytes(1);
  }
  std::string_view type = start.substr(0, start.size() - in.rest().size());
  in.take("]");
  return type;
}

// print_literal() of the plugin: numbers stand bare, bits as B'…', booleans as words, all else in quotes.
Value take_value(LineReader& in, std::string& unquoted) {
  if (in.next_is("'")) {
    return {.kind = ValueKind::kText, .bytes = undouble(in.take_quoted('\''), '\'', unquoted)};
  }
  if (in.take("B")) return {.kind = ValueKind::kText, .bytes = in.take_quoted('\'')};
  std::string_view word = in.take_bytes(std::min(in.rest().size(), in.rest().find(' ')));
  if (word.empty()) broken("a column without a value");
  if (word == "null") return {};
  if (word == "unchanged-toast-datum") return {.kind = ValueKind::kNotSent, .bytes = {}};
  if (word == "true") word = "t";
  if (word == "false") word = "f";
  return {.kind = ValueKind::kText, .bytes = word};
}

void take_columns(LineReader& in, std::vector<Column>& columns, std::string& unquoted) {
  while (!in.at_end() && !in.next_is(" new-tuple:")) {
    in.require(" ", "no blank between two columns");
    Column column;
    column.name = take_identifier(in, unquoted);
    column.type = take_type(in);
    in.require(":", "a column without a value");
    column.value = take_value(in, unquoted);
    columns.push_back(column);
  }
}

// "table a.b: INSERT: …", "table a.b, c.d: TRUNCATE: (no-flags)".
Event take_table_line(LineReader in, std::vector<std::string_view>& tables) {
  tables.clear();
  do {
    tables.push_back(take_table(in));
  } while (in.take(", "));
  in.require(": ", "a table without an operation");
  if (in.take("TRUNCATE:")) {
    if (!in.take(" (no-flags)")) {
      in.take(" restart_seqs");
      in.take(" cascade");
    }
    if (!in.at_end()) broken("an unknown kind of TRUNCATE");
    return Truncate{.tables = tables};
  }
  if (tables.size() != 1) broken("a row of several tables");
  RowLine row{.operation = Operation::kInsert, .table = tables.front(), .values = {}};
  if (in.take("UPDATE:")) {
    row.operation = Operation::kUpdate;
  } else if (in.take("DELETE:")) {
    row.operation = Operation::kDelete;
  } else {
    in.require("INSERT:", "an operation of an unknown kind");
  }
  row.values = in.rest();
  return row;
}

// "message: transactional: 1 prefix: p, sz: 5 content:hello". A prefix may hold anything, so the size decides
// where the content starts.
Message take_message(LineReader in) {
  Message message;
  std::uint32_t transactional = in.take_number();
  if (transactional > 1) broken("a message of an unknown kind");
  message.transactional = transactional == 1;
  in.require(" prefix: ", "a message without a prefix");
  constexpr std::string_view kSize = ", sz: ";
  constexpr std::string_view kContent = " content:";
  std::string_view text = in.rest();
  for (std::size_t at = text.find(kSize); at != std::string_view::npos; at = text.find(kSize, at + 1)) {
    std::size_t size = 0;
    const char* digits = text.data() + at + kSize.size();
    auto [end, failed] = std::from_chars(digits, text.data() + text.size(), size);
    if (failed != std::errc()) continue;
    std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
    if (!rest.starts_with(kContent) || rest.size() - kContent.size() != size) continue;
    message.prefix = text.substr(0, at);
    message.content = rest.substr(kContent.size());
    return message;
  }
  broken("a message without content");
}

}  // namespace

Event Decoder::decode(std::string_view line) {
  LineReader in(line);
  if (in.take("table ")) return take_table_line(in, tables_);
  if (in.take("message: transactional: ")) return take_message(in);
  if (in.take("BEGIN ")) {
    Begin begin{.xid = in.take_number()};
    if (!in.at_end()) broken("an unknown kind of BEGIN");
    return begin;
  }
  if (in.take("COMMIT ") && !in.next_is("PREPARED")) {
    Commit commit{.xid = in.take_number(), .time = {}};
    in.require(" (at ", "a COMMIT without its time");
    std::string_view time = in.rest();
    if (!time.ends_with(")")) broken("a COMMIT without its time");
    commit.time = time.substr(0, time.size() - 1);
    return commit;
  }
  broken("a kind that was not asked for");
}

RowValues Decoder::read_values(const RowLine& line) {
  before_.clear();
  after_.clear();
  unquoted_.clear();
  // No text becomes longer when its quotes are taken off, so it never moves.
  unquoted_.reserve(line.values.size());
  LineReader in(line.values);
  RowValues row;
  // There was no identity; only that a row went is known.
  if (line.operation == Operation::kDelete && in.rest() == " (no-tuple-data)") return row;
  if (in.next_is(" (no-tuple-data)")) broken("a new row without its values");
  row.has_before = line.operation == Operation::kDelete || in.take(" old-key:");
  if (row.has_before) take_columns(in, before_, unquoted_);
  if (line.operation != Operation::kDelete) {
    if (row.has_before) in.require(" new-tuple:", "an old row without a new one");
    if (in.next_is(" (no-tuple-data)")) broken("a new row without its values");
    take_columns(in, after_, unquoted_);
  }
  if (!in.at_end()) broken("more than its form needs");
  row.before = before_;
  row.after = after_;
  return row;
}

model::TableName parse_table(std::string_view printed) {
  LineReader in(printed);
  std::string unquoted;
  unquoted.reserve(printed.size());
  model::TableName name;
  name.schema = take_identifier(in, unquoted);
  in.require(".", "a table without a schema");
  name.table = take_identifier(in, unquoted);
  if (!in.at_end()) broken("a table's name of an unknown form");
  return name;
}

}  // namespace ferry::postgres::test_decoding
