#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "mapping/table_mapping.h"

namespace mapping = ferry::mapping;

// Any text is either refused with an Error, or gives a mapping that can be asked. The first line also serves
// as a pattern of the command line.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string line(text.substr(0, text.find('\n')));
  const ferry::model::TableName names[] = {{"public", "orders"}, {"s", line}, {line, line}};
  auto ask = [&](const mapping::TableMapping& compiled) {
    std::vector<mapping::ListedTable> tables;
    for (const auto& name : names) {
      compiled.selects(name, ferry::model::TableKind::kTable);
      if (compiled.load_order(name) < 0) std::abort();
      tables.push_back({.name = name});
    }
    compiled.unmatched_rules(tables);
  };
  try {
    ask(mapping::TableMapping::parse(text, mapping::Views::kLoaded));
  } catch (const ferry::base::Error& error) {
    if (error.kind() == ferry::base::ErrorKind::kInternal) std::abort();
  }
  try {
    ask(mapping::TableMapping::select_all_of({line}));
  } catch (const ferry::base::Error& error) {
    if (error.kind() != ferry::base::ErrorKind::kUsage) std::abort();
  }
  // A name without wildcards matches itself.
  if (!mapping::NamePattern::exactly(line).matches(line)) std::abort();
  return 0;
}
