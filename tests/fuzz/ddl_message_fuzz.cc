#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "connectors/postgres/ddl_message.h"

// Any text is either nothing, or a message whose parts are within the bounds that its readers count on. The
// seeds carry this key, so that the search gets past it. NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using ferry::postgres::DdlTable;
  constexpr std::string_view kKey = "k";
  auto message = ferry::postgres::parse_ddl_message({reinterpret_cast<const char*>(data), size}, kKey);
  if (!message) return 0;
  const auto* table = std::get_if<DdlTable>(&*message);
  if (table == nullptr) return 0;
  std::int32_t last = 0;
  for (const auto& column : table->columns) {
    if (column.number <= last || column.number > 1600 || column.name.empty()) std::abort();
    last = column.number;
  }
  for (std::int32_t number : table->key) {
    bool found = false;
    for (const auto& column : table->columns) found |= column.number == number;
    if (!found) std::abort();
  }
  return 0;
}
