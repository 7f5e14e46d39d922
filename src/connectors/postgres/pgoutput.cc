#include "connectors/postgres/pgoutput.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/error.h"

namespace ferry::postgres::pgoutput {
namespace {

using base::ByteReader;
using base::Error;
using base::ErrorKind;

// The smallest form of a column and of a value: what bounds a list's length before any memory is taken for
// it.
constexpr std::size_t kColumnSizeMin = 1 + 1 + 4 + 4;
constexpr std::size_t kValueSizeMin = 1;

[[noreturn]] void broken(char kind, std::string_view what) {
  throw Error(ErrorKind::kSourceProtocol,
              fmt::format("a pgoutput message of kind {:#04x} has {}",
                          static_cast<unsigned>(static_cast<unsigned char>(kind)), what));
}

Lsn read_lsn(ByteReader& in) { return Lsn{in.read<std::uint64_t>()}; }

Begin read_begin(ByteReader& in) {
  Begin begin;
  begin.final_lsn = read_lsn(in);
  begin.commit_time = in.read<std::int64_t>();
  begin.xid = in.read<std::uint32_t>();
  return begin;
}

Commit read_commit(ByteReader& in) {
  Commit commit;
  in.read<std::uint8_t>();  // Flags, none defined.
  commit.commit_lsn = read_lsn(in);
  commit.end_lsn = read_lsn(in);
  commit.commit_time = in.read<std::int64_t>();
  return commit;
}

Relation read_relation(ByteReader& in, std::vector<RelationColumn>& columns) {
  Relation relation;
  relation.oid = in.read<std::uint32_t>();
  relation.schema = in.read_c_string();
  relation.name = in.read_c_string();
  relation.replica_identity = static_cast<char>(in.read<std::uint8_t>());
  std::size_t count = in.read<std::uint16_t>();
  columns.clear();
  if (count * kColumnSizeMin > in.left()) broken('R', "fewer columns than it says");
  for (std::size_t i = 0; i < count; ++i) {
    RelationColumn column;
    column.in_identity = (in.read<std::uint8_t>() & 1U) != 0;
    column.name = in.read_c_string();
    column.type_oid = in.read<std::uint32_t>();
    column.typmod = in.read<std::int32_t>();
    columns.push_back(column);
  }
  relation.columns = columns;
  return relation;
}

void read_tuple(ByteReader& in, char kind, std::vector<Value>& values) {
  std::size_t count = in.read<std::uint16_t>();
  values.clear();
  if (count * kValueSizeMin > in.left()) broken(kind, "fewer values than it says");
  for (std::size_t i = 0; i < count; ++i) {
    char form = static_cast<char>(in.read<std::uint8_t>());
    Value value;
    switch (form) {
      case 'n': break;
      case 'u': value.kind = ValueKind::kNotSent; break;
      case 't':
      case 'b': {
        value.kind = form == 't' ? ValueKind::kText : ValueKind::kBinary;
        auto size = in.read<std::uint32_t>();
        value.bytes = in.read_bytes(size);
        break;
      }
      default: broken(kind, "a value of an unknown form");
    }
    values.push_back(value);
  }
}

OldTuple old_tuple(char mark) { return mark == 'K' ? OldTuple::kKey : OldTuple::kFull; }

}  // namespace

Event Decoder::decode(std::string_view message) {
  ByteReader in(message);
  char kind = static_cast<char>(in.read<std::uint8_t>());
  // Within a streamed piece each message of a change says its transaction first.
  constexpr std::string_view kOfTransaction = "RYIUDTM";
  bool says_xid = in_piece_ && kOfTransaction.find(kind) != std::string_view::npos;
  streamed_xid_ = says_xid ? in.read<std::uint32_t>() : 0;
  Event event;
  switch (kind) {
    case 'B': event = read_begin(in); break;
    case 'C': event = read_commit(in); break;
    case 'S': {
      if (in_piece_) broken(kind, "no place within another piece");
      StreamStart start{.xid = in.read<std::uint32_t>()};
      in.read<std::uint8_t>();  // Whether it is the transaction's first.
      in_piece_ = true;
      event = start;
      break;
    }
    case 'E':
      if (!in_piece_) broken(kind, "no place outside of a piece");
      in_piece_ = false;
      event = StreamStop{};
      break;
    case 'c': {
      StreamCommit end;
      end.xid = in.read<std::uint32_t>();
      end.commit = read_commit(in);
      event = end;
      break;
    }
    case 'A': {
      StreamAbort abort;
      abort.xid = in.read<std::uint32_t>();
      abort.subxid = in.read<std::uint32_t>();
      event = abort;
      break;
    }
    case 'R': {
      Description description;
      description.bytes = message.substr(message.size() - in.left());
      description.relation = read_relation(in, columns_);
      event = description;
      break;
    }
    case 'I': {
      Insert insert;
      insert.relation = in.read<std::uint32_t>();
      if (in.read<std::uint8_t>() != 'N') broken(kind, "no new row");
      read_tuple(in, kind, after_);
      insert.after = after_;
      event = insert;
      break;
    }
    case 'U': {
      Update update;
      update.relation = in.read<std::uint32_t>();
      char mark = static_cast<char>(in.read<std::uint8_t>());
      if (mark == 'K' || mark == 'O') {
        update.old = old_tuple(mark);
        read_tuple(in, kind, before_);
        update.before = before_;
        mark = static_cast<char>(in.read<std::uint8_t>());
      }
      if (mark != 'N') broken(kind, "no new row");
      read_tuple(in, kind, after_);
      update.after = after_;
      event = update;
      break;
    }
    case 'D': {
      Delete deletion;
      deletion.relation = in.read<std::uint32_t>();
      char mark = static_cast<char>(in.read<std::uint8_t>());
      if (mark != 'K' && mark != 'O') broken(kind, "no old row");
      deletion.old = old_tuple(mark);
      read_tuple(in, kind, before_);
      deletion.before = before_;
      event = deletion;
      break;
    }
    case 'T': {
      std::size_t count = in.read<std::uint32_t>();
      in.read<std::uint8_t>();  // CASCADE, RESTART IDENTITY: the list names every table anyway.
      relations_.clear();
      if (count * sizeof(std::uint32_t) > in.left()) broken(kind, "fewer tables than it says");
      for (std::size_t i = 0; i < count; ++i) relations_.push_back(in.read<std::uint32_t>());
      event = Truncate{.relations = relations_};
      break;
    }
    case 'M': {
      Message text;
      text.transactional = (in.read<std::uint8_t>() & 1U) != 0;
      text.lsn = read_lsn(in);
      text.prefix = in.read_c_string();
      auto size = in.read<std::uint32_t>();
      text.content = in.read_bytes(size);
      event = text;
      break;
    }
    case 'Y':
    case 'O': return Ignored{};
    default: broken(kind, "a kind that was not asked for");
  }
  if (!in.ok()) broken(kind, "fewer bytes than its form needs");
  if (!in.at_end()) broken(kind, "more bytes than its form needs");
  return event;
}

}  // namespace ferry::postgres::pgoutput
