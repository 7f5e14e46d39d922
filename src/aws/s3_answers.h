#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// What S3 answers in XML (Amazon S3 API Reference). Any bytes may come: an answer that is no well-formed XML,
// declares a document type, or is nested deeper than S3's are throws Error(kTargetUnwritable). Elements
// nobody asked for are passed over, in any namespace.
namespace ferry::aws {

struct ListedObject {
  std::string key;
  std::int64_t size = -1;
};

// ListBucketResult. Any other document, and one that says there is more but not where, throws too: what
// stands in a bucket must not be taken for nothing.
struct ObjectListing {
  std::vector<ListedObject> objects;
  bool truncated = false;
  std::string next_token = {};
};
ObjectListing parse_object_listing(std::string_view xml);

struct ListedUpload {
  std::string key;
  std::string upload_id;
};

// ListMultipartUploadsResult; any other document throws too.
struct UploadListing {
  std::vector<ListedUpload> uploads;
  bool truncated = false;
  std::string next_key = {};
  std::string next_upload_id = {};
};
UploadListing parse_upload_listing(std::string_view xml);

// The text of the element at this path, such as "InitiateMultipartUploadResult/UploadId"; "" where there is
// none.
std::string parse_element(std::string_view xml, std::string_view path);

// The name of the root element; "" for what is no whole document. Never throws.
std::string root_of(std::string_view xml);

// Error: what an answer with a bad status, and with some calls one with a good status, may be. Texts that are
// longer than any service's are cut. Empty members for what is no error document; never throws.
struct ServiceError {
  std::string code;
  std::string message;
  std::string region;  // Where the bucket is, if that was the mistake.
};
ServiceError parse_error(std::string_view xml);

}  // namespace ferry::aws
