#include "tests/support/memory/memory_source.h"

#include "tests/support/memory/memory_capture.h"
#include "tests/support/memory/memory_catalog.h"
#include "tests/support/memory/memory_lookup.h"
#include "tests/support/memory/memory_mark.h"
#include "tests/support/memory/memory_unload.h"

namespace ferry::test_support {

std::vector<connector::Prerequisite> MemorySource::check(bool with_capture, std::stop_token stop) {
  MemoryConnection connection(database_, faults_);
  return connection.call("source.check", stop, [&] {
    std::vector<connector::Prerequisite> found{
        {.name = "reachable", .met = true, .seen = "yes", .remedy = {}}};
    if (with_capture)
      found.push_back({.name = "log_kept", .met = true, .seen = database_.identity(), .remedy = {}});
    return found;
  });
}

std::unique_ptr<connector::SourceCatalog> MemorySource::catalog() {
  return std::make_unique<MemoryCatalog>(MemoryConnection(database_, faults_));
}

std::unique_ptr<connector::SourceUnload> MemorySource::unload() {
  return std::make_unique<MemoryUnload>(database_, faults_, options_.slices);
}

std::unique_ptr<connector::SourceCapture> MemorySource::capture(connector::TaskNotes& notes) {
  return std::make_unique<MemoryCapture>(MemoryConnection(database_, faults_), notes, options_);
}

std::unique_ptr<connector::SourceLookup> MemorySource::lookup() {
  return std::make_unique<MemoryLookup>(MemoryConnection(database_, faults_));
}

std::shared_ptr<const model::SnapshotMark> MemorySource::parse_mark(std::string_view text) const {
  auto mark = MemoryMark::parse(text);
  if (!mark) throw base::Error(base::ErrorKind::kStateUnusable, "a snapshot mark cannot be read");
  return mark;
}

}  // namespace ferry::test_support
