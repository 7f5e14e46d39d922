#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "aws/s3_answers.h"
#include "base/error.h"

namespace aws = ferry::aws;

// Any bytes are either refused with an Error or read as what S3 answers; error documents and roots are never
// refused. NOLINTNEXTLINE(readability-identifier-naming)
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
  // What is XML does not depend on who reads it, and a listing is known by its root.
  std::string root = aws::root_of(text);
  if (root.empty() != refuses([](std::string_view xml) { aws::parse_element(xml, "a/b"); })) std::abort();
  bool uploads = !refuses([](std::string_view xml) { aws::parse_upload_listing(xml); });
  if (uploads != (root == "ListMultipartUploadsResult")) std::abort();
  bool objects = !refuses([](std::string_view xml) { aws::parse_object_listing(xml); });
  if (objects && root != "ListBucketResult") std::abort();
  return 0;
}
