#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "connectors/postgres/change_writer.h"
#include "connectors/postgres/ddl_shapes.h"
#include "connectors/postgres/relations.h"
#include "connectors/postgres/settings.h"

namespace ferry::postgres {

// A message of pg_logical_emit_message() in a transaction that comes whole.
struct LoggedMessage {
  bool transactional = false;
  Lsn lsn{};
  std::string_view prefix;
  std::string_view content;
};

// What a decoder asks of the capture that it serves; outlives the decoder.
struct DecoderContext {
  const Settings& settings;
  ChangeWriter& writer;
  Control control;
  DdlShapes& shapes;
  // Whether transactions in progress may come in pieces, where the plugin and the server can.
  bool in_pieces = true;
  // Whether changes of a table that nobody chose at the source belong to the task.
  std::function<bool(const model::TableName&)> wants;
  // Called with each of them, in the log's order.
  std::function<void(const LoggedMessage&, model::ChangeBatch&, std::stop_token)> take_message;
};

// One output plugin's messages → changes. A stream has one from its start on; used by one thread.
class ChangeDecoder {
 public:
  virtual ~ChangeDecoder() = default;

  // What START_REPLICATION is given for the plugin, without the parentheses.
  virtual std::string options(int server_major) const = 0;
  // Takes one message; `end` is what the stream says of its place in the log. Throws Error(kSourceProtocol)
  // for a message of another form.
  virtual void take(std::string_view message, Lsn end, model::ChangeBatch& batch, std::stop_token stop) = 0;
  // Called now and then between transactions, to learn from the catalog what the stream does not say.
  virtual void look_again(std::stop_token stop) = 0;
};

struct PublicationNames;
std::unique_ptr<ChangeDecoder> make_pgoutput_decoder(DecoderContext context,
                                                     const PublicationNames& publications);
std::unique_ptr<ChangeDecoder> make_test_decoding_decoder(DecoderContext context);

}  // namespace ferry::postgres
