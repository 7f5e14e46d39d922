#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "connectors/postgres/change_writer.h"
#include "connectors/postgres/relations.h"
#include "connectors/postgres/settings.h"

namespace ferry::postgres {

// What a decoder asks of the capture that it serves; outlives the decoder.
struct DecoderContext {
  const Settings& settings;
  ChangeWriter& writer;
  Control control;
  // Whether changes of a table that nobody chose at the source belong to the task.
  std::function<bool(const model::TableName&)> wants;
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
