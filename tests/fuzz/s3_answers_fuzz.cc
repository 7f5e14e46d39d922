#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "aws/s3_answers.h"
#include "base/error.h"

namespace aws = ferry::aws;

// Any bytes are either refused with an Error or read as what S3 answers; error documents are never refused.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  aws::parse_error(text);
  auto refuses = [&](auto parse) {
    try {
      parse(text);
    } catch (const ferry::base::Error& error) {
      if (error.kind() != ferry::base::ErrorKind::kTargetUnwritable) std::abort();
      return true;
    }
    return false;
  };
  // What is XML does not depend on who reads it; of objects not every document is a listing.
  bool refused = refuses([](std::string_view xml) { aws::parse_element(xml, "a/b"); });
  if (refused != refuses([](std::string_view xml) { aws::parse_upload_listing(xml); })) std::abort();
  if (!refuses([](std::string_view xml) { aws::parse_object_listing(xml); }) && refused) std::abort();
  return 0;
}
