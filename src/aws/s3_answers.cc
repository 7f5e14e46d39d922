#include "aws/s3_answers.h"

#include <expat.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>

#include "aws/http.h"
#include "base/error.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;

constexpr int kDepthMax = 16;
constexpr std::size_t kErrorTextMax = 500;

// Walks over the elements and hands out each one's path from the root and its text. Lives for one document.
class Walk {
 public:
  // `element` is called at each element's end; `path` is "ListBucketResult/Contents/Key".
  using Element = std::function<void(std::string_view path, const std::string& text)>;

  explicit Walk(Element element) : element_(std::move(element)), parser_(::XML_ParserCreate("UTF-8")) {
    if (!parser_) throw std::bad_alloc();
    ::XML_SetUserData(parser_.get(), this);
    ::XML_SetElementHandler(parser_.get(), start, end);
    ::XML_SetCharacterDataHandler(parser_.get(), text);
    ::XML_SetStartDoctypeDeclHandler(parser_.get(), doctype);
  }

  bool over(std::string_view xml) {
    // Blanks that keep a connection open may come before the XML declaration.
    xml.remove_prefix(std::min(xml.find_first_not_of(" \t\r\n"), xml.size()));
    // Error pages and cut answers may be anything, also longer than an int.
    if (xml.size() > kResponseBytesMax) return false;
    XML_Status status = ::XML_Parse(parser_.get(), xml.data(), static_cast<int>(xml.size()), XML_TRUE);
    return status == XML_STATUS_OK && !refused_;
  }

 private:
  static std::string_view local_name(const XML_Char* name) {
    std::string_view whole(name);
    return whole.substr(whole.rfind(':') + 1);
  }

  // They are called through C, so nothing may be thrown out of them: without memory the process ends.
  static void start(void* user, const XML_Char* name, const XML_Char**) noexcept {
    auto& walk = *static_cast<Walk*>(user);
    if (++walk.depth_ > kDepthMax) return walk.refuse();
    if (walk.depth_ > 1) walk.path_ += '/';
    walk.path_ += local_name(name);
    walk.text_.clear();
  }

  static void end(void* user, const XML_Char* name) noexcept {
    auto& walk = *static_cast<Walk*>(user);
    if (walk.refused_) return;
    walk.element_(walk.path_, walk.text_);
    walk.text_.clear();
    std::size_t length = local_name(name).size() + (walk.depth_ > 1 ? 1 : 0);
    walk.path_.resize(walk.path_.size() - length);
    --walk.depth_;
  }

  static void text(void* user, const XML_Char* bytes, int length) noexcept {
    static_cast<Walk*>(user)->text_.append(bytes, static_cast<std::size_t>(length));
  }

  // A document type could define entities; S3 sends none.
  static void doctype(void* user, const XML_Char*, const XML_Char*, const XML_Char*, int) noexcept {
    static_cast<Walk*>(user)->refuse();
  }

  void refuse() {
    refused_ = true;
    ::XML_StopParser(parser_.get(), XML_FALSE);
  }

  struct FreeParser {
    void operator()(XML_Parser parser) const { ::XML_ParserFree(parser); }
  };

  const Element element_;
  const std::unique_ptr<std::remove_pointer_t<XML_Parser>, FreeParser> parser_;
  std::string path_;
  std::string text_;
  int depth_ = 0;
  bool refused_ = false;
};

Error not_of_s3() {
  return Error(ErrorKind::kTargetUnwritable,
               Error::Parts{.message = "the service's answer is not what S3 answers",
                            .remedy = "See whether the URL is that of an S3 service."});
}

void walk_over(std::string_view xml, Walk::Element element) {
  if (!Walk(std::move(element)).over(xml)) throw not_of_s3();
}

// At a character's beginning.
std::string cut(const std::string& text) {
  if (text.size() <= kErrorTextMax) return text;
  std::size_t length = kErrorTextMax;
  while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) --length;
  return text.substr(0, length);
}

std::int64_t number_in(std::string_view text) {
  std::int64_t number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

ObjectListing parse_object_listing(std::string_view xml) {
  ObjectListing listing;
  ListedObject object;
  bool encoded = false;
  bool is_listing = false;
  walk_over(xml, [&](std::string_view path, const std::string& text) {
    if (path == "ListBucketResult/Contents/Key") object.key = text;
    if (path == "ListBucketResult/Contents/Size") object.size = number_in(text);
    if (path == "ListBucketResult/Contents") listing.objects.push_back(std::exchange(object, {}));
    if (path == "ListBucketResult/IsTruncated") listing.truncated = text == "true";
    if (path == "ListBucketResult/NextContinuationToken") listing.next_token = text;
    if (path == "ListBucketResult/EncodingType") encoded = text == "url";
    is_listing |= path == "ListBucketResult";
  });
  // Another document would be taken for an empty bucket.
  if (!is_listing || (listing.truncated && listing.next_token.empty())) throw not_of_s3();
  if (encoded) {
    for (ListedObject& each : listing.objects) each.key = percent_decoded(each.key);
  }
  return listing;
}

UploadListing parse_upload_listing(std::string_view xml) {
  UploadListing listing;
  ListedUpload upload;
  bool encoded = false;
  bool is_listing = false;
  walk_over(xml, [&](std::string_view path, const std::string& text) {
    if (path == "ListMultipartUploadsResult/Upload/Key") upload.key = text;
    if (path == "ListMultipartUploadsResult/Upload/UploadId") upload.upload_id = text;
    if (path == "ListMultipartUploadsResult/Upload") listing.uploads.push_back(std::exchange(upload, {}));
    if (path == "ListMultipartUploadsResult/IsTruncated") listing.truncated = text == "true";
    if (path == "ListMultipartUploadsResult/NextKeyMarker") listing.next_key = text;
    if (path == "ListMultipartUploadsResult/NextUploadIdMarker") listing.next_upload_id = text;
    if (path == "ListMultipartUploadsResult/EncodingType") encoded = text == "url";
    is_listing |= path == "ListMultipartUploadsResult";
  });
  if (!is_listing) throw not_of_s3();
  if (encoded) {
    listing.next_key = percent_decoded(listing.next_key);
    for (ListedUpload& each : listing.uploads) each.key = percent_decoded(each.key);
  }
  return listing;
}

std::string parse_element(std::string_view xml, std::string_view path) {
  std::string found;
  walk_over(xml, [&](std::string_view at, const std::string& text) {
    if (at == path) found = text;
  });
  return found;
}

std::string root_of(std::string_view xml) {
  std::string last;  // The root is closed last.
  Walk walk([&](std::string_view path, const std::string&) { last = path; });
  return walk.over(xml) ? last : std::string();
}

ServiceError parse_error(std::string_view xml) {
  ServiceError error;
  Walk walk([&](std::string_view path, const std::string& text) {
    // S3 has Error as the root, STS inside an ErrorResponse.
    if (path == "Error/Code" || path == "ErrorResponse/Error/Code") error.code = cut(text);
    if (path == "Error/Message" || path == "ErrorResponse/Error/Message") error.message = cut(text);
    if (path == "Error/Region") error.region = cut(text);
  });
  if (!walk.over(xml)) return {};
  return error;
}

}  // namespace ferry::aws
