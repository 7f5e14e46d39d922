#include <fmt/format.h>

#include <utility>
#include <variant>

#include "connectors/postgres/change_decoder.h"
#include "connectors/postgres/pgoutput.h"
#include "connectors/postgres/publications.h"
#include "connectors/postgres/relations.h"

namespace ferry::postgres {
namespace {

using model::ChangeBatch;
using model::ChangeKind;

// PostgreSQL counts microseconds from 2000-01-01.
constexpr std::int64_t kServerEpochMicros = 946'684'800'000'000;
// The first that sends messages, and transactions in pieces.
constexpr int kFirstMajorWithBoth = 14;

CommitRecord record_of(const pgoutput::Commit& commit) {
  return {
      .position = commit.commit_lsn, .end = commit.end_lsn, .time = commit.commit_time + kServerEpochMicros};
}

// Events of pgoutput → changes. Transactions that outgrow the server's logical_decoding_work_mem come in
// pieces while they are in progress.
class PgoutputDecoder final : public ChangeDecoder {
 public:
  PgoutputDecoder(DecoderContext context, const PublicationNames& publications)
      : context_(std::move(context)),
        publications_(publications),
        relations_(context_.settings, context_.control, context_.shapes) {}

  std::string options(int server_major) const override {
    std::string names = fmt::format("publication_names '{},{}'", quote_identifier(publications_.full),
                                    quote_identifier(publications_.inserts));
    if (server_major < kFirstMajorWithBoth) return "proto_version '1', " + names;
    if (!context_.in_pieces) return "proto_version '1', messages 'true', " + names;
    return "proto_version '2', streaming 'on', messages 'true', " + names;
  }

  void take(std::string_view message, Lsn, ChangeBatch& batch, std::stop_token stop) override {
    std::visit([&](const auto& event) { take_event(event, batch, stop); }, decoder_.decode(message));
  }

  // Descriptions come with the stream.
  void look_again(std::stop_token) override {}

 private:
  // The transaction whose piece is being read; 0 where transactions come whole.
  std::uint32_t piece_of() const { return in_piece_ ? context_.writer.current() : 0; }
  const StreamTable& table_of(std::uint32_t oid) const { return relations_.find(oid, piece_of()); }
  void take_event(const pgoutput::Ignored&, ChangeBatch&, std::stop_token) {}

  void take_event(const pgoutput::Message& message, ChangeBatch& batch, std::stop_token stop) {
    if (!message.transactional || in_piece_) return;
    context_.take_message(
        {.transactional = true, .lsn = message.lsn, .prefix = message.prefix, .content = message.content},
        batch, stop);
    relations_.take_told_names();
  }

  void take_event(const pgoutput::Begin& begin, ChangeBatch&, std::stop_token) {
    context_.writer.begin(begin.xid);
  }
  void take_event(const pgoutput::Commit& commit, ChangeBatch& batch, std::stop_token) {
    context_.writer.commit(context_.writer.current(), record_of(commit), batch);
  }

  void take_event(const pgoutput::StreamStart& start, ChangeBatch&, std::stop_token) {
    context_.writer.open_piece(start.xid);
    in_piece_ = true;
  }
  void take_event(const pgoutput::StreamStop&, ChangeBatch&, std::stop_token) {
    context_.writer.close_piece();
    in_piece_ = false;
  }
  void take_event(const pgoutput::StreamCommit& end, ChangeBatch& batch, std::stop_token stop) {
    context_.writer.commit(end.xid, record_of(end.commit), batch);
    relations_.commit(end.xid, stop);
  }
  void take_event(const pgoutput::StreamAbort& abort, ChangeBatch& batch, std::stop_token) {
    context_.writer.roll_back(abort.xid, abort.subxid, batch);
    relations_.roll_back(abort.xid);
  }

  void take_event(const pgoutput::Description& description, ChangeBatch&, std::stop_token stop) {
    relations_.take(description, piece_of(), stop);
  }
  void take_event(const pgoutput::Insert& insert, ChangeBatch& batch, std::stop_token) {
    context_.writer.add_row(table_of(insert.relation),
                            {.kind = ChangeKind::kInsert,
                             .subtransaction = decoder_.streamed_xid(),
                             .old = OldTuple::kNone,
                             .before = {},
                             .after = insert.after},
                            batch);
  }
  void take_event(const pgoutput::Update& update, ChangeBatch& batch, std::stop_token) {
    context_.writer.add_row(table_of(update.relation),
                            {.kind = ChangeKind::kUpdate,
                             .subtransaction = decoder_.streamed_xid(),
                             .old = update.old,
                             .before = update.before,
                             .after = update.after},
                            batch);
  }
  void take_event(const pgoutput::Delete& deletion, ChangeBatch& batch, std::stop_token) {
    context_.writer.add_row(table_of(deletion.relation),
                            {.kind = ChangeKind::kDelete,
                             .subtransaction = decoder_.streamed_xid(),
                             .old = deletion.old,
                             .before = deletion.before,
                             .after = {}},
                            batch);
  }
  void take_event(const pgoutput::Truncate& truncate, ChangeBatch& batch, std::stop_token) {
    for (std::uint32_t oid : truncate.relations) {
      context_.writer.add_truncate(table_of(oid), decoder_.streamed_xid(), batch);
    }
  }

  DecoderContext context_;
  PublicationNames publications_;
  pgoutput::Decoder decoder_;
  Relations relations_;
  bool in_piece_ = false;
};

}  // namespace

std::unique_ptr<ChangeDecoder> make_pgoutput_decoder(DecoderContext context,
                                                     const PublicationNames& publications) {
  return std::make_unique<PgoutputDecoder>(std::move(context), publications);
}

}  // namespace ferry::postgres
