#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "connectors/postgres/pgoutput.h"

namespace pgoutput = ferry::postgres::pgoutput;

namespace {

// Every view of an event lies in the message.
void check_values(std::span<const ferry::postgres::Value> values, std::string_view message) {
  for (const ferry::postgres::Value& value : values) {
    if (value.bytes.empty()) continue;
    if (value.bytes.data() < message.data()) std::abort();
    if (value.bytes.data() + value.bytes.size() > message.data() + message.size()) std::abort();
  }
}

void decode(pgoutput::Decoder& decoder, std::string_view message) {
  try {
    pgoutput::Event event = decoder.decode(message);
    if (const auto* insert = std::get_if<pgoutput::Insert>(&event)) check_values(insert->after, message);
    if (const auto* update = std::get_if<pgoutput::Update>(&event)) {
      check_values(update->before, message);
      check_values(update->after, message);
    }
    if (const auto* deletion = std::get_if<pgoutput::Delete>(&event)) check_values(deletion->before, message);
  } catch (const ferry::base::Error& error) {
    if (error.kind() != ferry::base::ErrorKind::kSourceProtocol) std::abort();
  }
}

}  // namespace

// Any bytes are either refused with an Error, or one event whose parts lie within them; by themselves, and
// within a streamed piece. NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view message(reinterpret_cast<const char*>(data), size);
  pgoutput::Decoder alone;
  decode(alone, message);
  pgoutput::Decoder in_piece;
  decode(in_piece, std::string_view("S\0\0\2\xE5\1", 6));
  decode(in_piece, message);
  return 0;
}
