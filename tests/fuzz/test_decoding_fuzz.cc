#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "connectors/postgres/test_decoding.h"

namespace test_decoding = ferry::postgres::test_decoding;

namespace {

// Touches every byte of every view: one that dangles is found by the sanitizers.
void read_all(std::span<const test_decoding::Column> columns, std::size_t& sum) {
  for (const test_decoding::Column& column : columns) {
    for (std::string_view text : {column.name, column.type, column.value.bytes}) {
      for (char c : text) sum += static_cast<unsigned char>(c);
    }
  }
}

}  // namespace

// Any text is either refused with an Error, or one event that is no longer than the text.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view line(reinterpret_cast<const char*>(data), size);
  test_decoding::Decoder decoder;
  std::size_t sum = 0;
  try {
    test_decoding::Event event = decoder.decode(line);
    if (const auto* row = std::get_if<test_decoding::RowLine>(&event)) {
      ferry::model::TableName name = test_decoding::parse_table(row->table);
      if (name.schema.size() + name.table.size() > size) std::abort();
      test_decoding::RowValues values = decoder.read_values(*row);
      read_all(values.before, sum);
      read_all(values.after, sum);
    }
    if (const auto* truncate = std::get_if<test_decoding::Truncate>(&event)) {
      for (std::string_view table : truncate->tables) test_decoding::parse_table(table);
    }
  } catch (const ferry::base::Error& error) {
    if (error.kind() != ferry::base::ErrorKind::kSourceProtocol) std::abort();
  }
  if (sum > size * 255) std::abort();
  return 0;
}
