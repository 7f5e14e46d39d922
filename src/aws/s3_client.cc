#include "aws/s3_client.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <set>

#include "aws/refusal_kind.h"
#include "base/error.h"
#include "base/log.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;

constexpr int kKeysPerListing = 1000;
// Two corrections that differ by less are the same one.
constexpr std::int64_t kClockDriftMicros = 60'000'000;

bool begins_with_bucket(const std::string& host, const std::string& bucket) {
  return host.starts_with(bucket + '.');
}

std::string xml_escaped(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

// Amazon S3 API reference, PutObject: encoded as the query of a URL.
void add_tags(HttpRequest& request, const NameValues& tags) {
  std::string encoded;
  for (const auto& [name, value] : tags) {
    if (!encoded.empty()) encoded += '&';
    encoded += percent_encoded(name, Slash::kEncode) + '=' + percent_encoded(value, Slash::kEncode);
  }
  if (!tags.empty()) request.headers.emplace_back("x-amz-tagging", encoded);
}

// Content-MD5, which S3 wants with some bodies.
std::string md5_base64(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (::EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, ::EVP_md5(), nullptr) != 1) {
    throw Error(ErrorKind::kInternal, "MD5 is not to be had");
  }
  std::array<unsigned char, 32> text{};
  int length = ::EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(size));
  return {reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(length)};
}

// A bucket whose objects are locked against removal takes no object without a digest that the service keeps
// (Amazon S3 User Guide, "Locking objects with Object Lock"). Only the message says so.
bool asks_for_md5(const ServiceError& error) {
  constexpr std::string_view kHeader = "content-md5";
  auto lower = [](unsigned char c) { return static_cast<char>(std::tolower(c)); };
  return !std::ranges::search(error.message, kHeader, {}, lower).empty();
}

// What a service that does not know a header says of it.
bool is_of_a_header(int status, const ServiceError& error) {
  return status == 501 || error.code == "NotImplemented" || error.code == "InvalidArgument" ||
         error.code == "InvalidRequest";
}

}  // namespace

std::string Bucket::describe() const { return fmt::format("s3://{} at {}", name, address.url()); }

Bucket locate_bucket(const std::string& url, const std::string& bucket, const std::string& region,
                     std::optional<BucketStyle> style) {
  ServiceUrl place = parse_service_url(url.empty() ? "https://" + aws_host("s3", region) : url);
  Bucket located{.name = bucket, .address = place.address, .base_path = place.path, .region = region};
  if (!style) {
    if (begins_with_bucket(place.address.host, bucket)) return located;
    bool covered = !place.address.tls || bucket.find('.') == std::string::npos;
    style = is_aws_host(place.address.host) && covered ? BucketStyle::kVirtualHost : BucketStyle::kPath;
  }
  if (*style == BucketStyle::kPath) {
    located.base_path += '/' + bucket;
  } else if (!begins_with_bucket(place.address.host, bucket)) {
    located.address.host = bucket + '.' + place.address.host;
  }
  return located;
}

// One operation: what it is called, and the right that it needs.
struct S3Client::Action {
  std::string_view name;
  std::string_view right;
  std::string_view answer = {};  // The root of a good answer's body; empty where the status says it all.
  int attempts_max = std::numeric_limits<int>::max();  // Where fewer than the schedule's will do.
};
const S3Client::Action S3Client::kPutObject{.name = "PutObject", .right = "s3:PutObject"};
const S3Client::Action S3Client::kCreateUpload{
    .name = "CreateMultipartUpload", .right = "s3:PutObject", .answer = "InitiateMultipartUploadResult"};
const S3Client::Action S3Client::kUploadPart{.name = "UploadPart", .right = "s3:PutObject"};
const S3Client::Action S3Client::kCompleteUpload{
    .name = "CompleteMultipartUpload", .right = "s3:PutObject", .answer = "CompleteMultipartUploadResult"};
const S3Client::Action S3Client::kAbortUpload{
    .name = "AbortMultipartUpload", .right = "s3:AbortMultipartUpload", .attempts_max = 3};
const S3Client::Action S3Client::kDeleteObject{.name = "DeleteObject", .right = "s3:DeleteObject"};
const S3Client::Action S3Client::kListObjects{
    .name = "ListObjectsV2", .right = "s3:ListBucket", .answer = "ListBucketResult"};
const S3Client::Action S3Client::kListUploads{.name = "ListMultipartUploads",
                                              .right = "s3:ListBucketMultipartUploads"};

// What came of a call.
struct S3Client::Outcome {
  HttpResponse response;
  bool succeeded = false;
  // Of an answer that is no success.
  ServiceError error;
  ErrorKind kind = ErrorKind::kTargetUnreachable;
  // An earlier attempt of the same call may have had its effect.
  bool repeated = false;
};

S3Client::S3Client(Parts parts) : parts_(std::move(parts)), random_(std::random_device()()) {}

double S3Client::random() {
  std::lock_guard lock(random_mutex_);
  return std::uniform_real_distribution(0.0, 1.0)(random_);
}

HttpRequest S3Client::request(std::string_view method, const std::string& key, NameValues query) const {
  HttpRequest request{.method = std::string(method),
                      .address = parts_.bucket.address,
                      .path = parts_.bucket.base_path + '/' + key,
                      .query = std::move(query)};
  if (!parts_.expected_bucket_owner.empty()) {
    request.headers.emplace_back("x-amz-expected-bucket-owner", parts_.expected_bucket_owner);
  }
  return request;
}

bool S3Client::correct_clock(const HttpResponse& response, const ServiceError& error) {
  if (error.code != "RequestTimeTooSkewed") return false;
  std::optional<base::UnixMicros> time = parse_http_date(response.header("date"));
  if (!time) return false;
  std::int64_t offset = *time - parts_.clock.now();
  std::int64_t known = clock_offset_.exchange(offset);
  if (std::abs(offset - known) < kClockDriftMicros) return true;
  base::log_warning(base::kTaskManager,
                    "this machine's clock and that of {} differ by {} s; requests are signed with the latter",
                    parts_.bucket.address.url(), std::abs(offset) / 1'000'000);
  return true;
}

// One operation with all its attempts. What may pass is tried again; every other answer is returned.
S3Client::Outcome S3Client::call(const Action& action, const HttpRequest& request, const std::string& key) {
  std::string digest = sha256_hex(request.body);
  Outcome outcome;
  bool clock_corrected = false;
  bool credentials_renewed = false;
  for (int failed = 0;;) {
    HttpRequest attempt = request;
    attempt.headers.emplace_back("x-amz-content-sha256", digest);
    bool takes_md5 = request.method == "PUT";
    bool with_md5 = takes_md5 && wants_md5_;
    if (with_md5) attempt.headers.emplace_back("content-md5", md5_base64(request.body));
    std::optional<Error> failure;
    try {
      Credentials keys = parts_.credentials->get(parts_.stop);
      sign(attempt, keys, {.region = parts_.bucket.region, .service = "s3"},
           parts_.clock.now() + clock_offset_);
      outcome.response = parts_.http->send(attempt, parts_.stop);
      had_answer_ = true;
      int status = outcome.response.status;
      bool good_status = status >= 200 && status < 300;
      outcome.succeeded =
          good_status && (action.answer.empty() || root_of(outcome.response.body) == action.answer);
      if (outcome.succeeded) return outcome;
      outcome.error = parse_error(outcome.response.body);
      // A good status may come before the work is done, and a gateway may answer anything: what came of the
      // request is not known.
      outcome.kind = kind_of_refusal(good_status ? 500 : status, outcome.error.code);
      if (!clock_corrected && correct_clock(outcome.response, outcome.error)) {
        clock_corrected = true;
        continue;
      }
      if (!credentials_renewed && outcome.error.code == "ExpiredToken") {
        parts_.credentials->expired(keys.access_key_id);
        credentials_renewed = true;
        continue;
      }
      if (takes_md5 && !with_md5 && asks_for_md5(outcome.error)) {
        wants_md5_ = true;
        continue;
      }
      if (outcome.kind != ErrorKind::kTargetUnreachable) return outcome;
      failure = refused(action, key, outcome);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kTargetUnreachable) throw;
      failure = error.with_context(fmt::format("{} of {}", action.name, parts_.bucket.describe()));
    }
    outcome.repeated = true;
    ++failed;
    int attempts_max =
        had_answer_ ? parts_.schedule.attempts_max : parts_.schedule.first_contact_attempts_max;
    if (failed >= std::min(attempts_max, action.attempts_max)) throw *failure;
    std::chrono::milliseconds wait = parts_.schedule.wait(failed, random());
    base::log_info(base::kTaskManager, "{} (attempt {}, the next in {} ms)", failure->what(), failed,
                   wait.count());
    if (!parts_.clock.wait(wait, parts_.stop)) throw *failure;
  }
}

// With the headers that a new object gets. A service without encryption refuses the header as something it
// does not know; unless the user named it, the object is written all the same.
S3Client::Outcome S3Client::call_with_attributes(const Action& action, HttpRequest request,
                                                 const std::string& key) {
  const ObjectAttributes& attributes = parts_.attributes;
  if (!attributes.canned_acl.empty()) request.headers.emplace_back("x-amz-acl", attributes.canned_acl);
  HttpRequest plain = request;
  bool encrypted = !attributes.encryption.empty() && !without_encryption_;
  if (!encrypted) return call(action, plain, key);
  request.headers.emplace_back("x-amz-server-side-encryption", attributes.encryption);
  if (!attributes.kms_key_id.empty()) {
    request.headers.emplace_back("x-amz-server-side-encryption-aws-kms-key-id", attributes.kms_key_id);
  }
  Outcome outcome = call(action, request, key);
  bool header_refused = !outcome.succeeded && is_of_a_header(outcome.response.status, outcome.error);
  if (!attributes.encryption_may_be_left_out || !header_refused) return outcome;
  Outcome again = call(action, plain, key);
  if (again.succeeded && !without_encryption_.exchange(true)) {
    base::log_warning(
        base::kTaskManager,
        "{} refuses to encrypt objects ({}: {}); they are written without x-amz-server-side-encryption, "
        "because EncryptionMode is not named",
        parts_.bucket.describe(), outcome.error.code, outcome.error.message);
  }
  return again;
}

Error S3Client::refused(const Action& action, const std::string& key, const Outcome& outcome) const {
  const auto& [response, succeeded, error, kind, repeated] = outcome;
  std::string code = error.code.empty() ? fmt::format("HTTP {}", response.status) : error.code;
  std::string object = key.empty() ? "" : fmt::format(" of {}", key);
  std::string message = fmt::format("{} refuses {}{}{}{}", parts_.bucket.describe(), action.name, object,
                                    error.message.empty() ? "" : ": ", error.message);
  std::string remedy;
  std::string region(error.region.empty() ? response.header("x-amz-bucket-region") : error.region);
  switch (kind) {
    case ErrorKind::kTargetAuthentication:
      remedy = "Check the access key, its secret and, where it has one, the session token.";
      break;
    case ErrorKind::kTargetPrivilege:
      remedy = fmt::format("Allow {} on the bucket to the credentials that Ferry uses.", action.right);
      if (!parts_.attributes.canned_acl.empty() && action.right == kPutObject.right) {
        remedy = fmt::format(
            "Allow {} and s3:PutObjectAcl (for CannedAclForObjects) on the bucket to the credentials that "
            "Ferry uses.",
            action.right);
      }
      break;
    case ErrorKind::kTargetConfiguration:
      remedy = "Correct EndpointUrl, BucketName or AWS_REGION.";
      if (error.code == "NoSuchBucket") remedy = "Make the bucket, or correct BucketName or EndpointUrl.";
      if (error.code == "RequestTimeTooSkewed") remedy = "Set this machine's clock.";
      if (!region.empty() && region != parts_.bucket.region) {
        remedy =
            fmt::format("The bucket is in the region {}, not in {}: set AWS_REGION, or correct EndpointUrl.",
                        region, parts_.bucket.region);
      }
      break;
    case ErrorKind::kTargetFull:
      remedy = "Free space on the target and run the same command again; it goes on where it was.";
      break;
    case ErrorKind::kTargetUnreachable:
      remedy = "See how the service is; the same command goes on where it was.";
      break;
    default: remedy = "See what the service says of it.";
  }
  return Error(
      kind, Error::Parts{
                .message = std::move(message), .remedy = std::move(remedy), .vendor_code = std::move(code)});
}

// Somebody removed the upload, or the service forgot it.
bool S3Client::is_gone(const Outcome& outcome) {
  return !outcome.succeeded && outcome.error.code == "NoSuchUpload";
}

// Recoverable: the object can be written anew.
Error S3Client::lost_upload(const std::string& key) const {
  return Error(
      ErrorKind::kTargetUnreachable,
      Error::Parts{.message = fmt::format("{} has lost the upload of {}", parts_.bucket.describe(), key),
                   .remedy = "The same command goes on where it was.",
                   .vendor_code = "NoSuchUpload"});
}

void S3Client::put_object(const std::string& key, std::string_view bytes, const NameValues& tags) {
  HttpRequest put = request("PUT", key);
  add_tags(put, tags);
  put.body = bytes;
  Outcome outcome = call_with_attributes(kPutObject, put, key);
  if (!outcome.succeeded) throw refused(kPutObject, key, outcome);
}

S3Client::StartedUpload S3Client::create_multipart_upload(const std::string& key, const NameValues& tags) {
  HttpRequest post = request("POST", key, {{"uploads", ""}});
  add_tags(post, tags);
  Outcome outcome = call_with_attributes(kCreateUpload, post, key);
  if (!outcome.succeeded) throw refused(kCreateUpload, key, outcome);
  std::string id = parse_element(outcome.response.body, "InitiateMultipartUploadResult/UploadId");
  if (id.empty()) {
    throw Error(ErrorKind::kTargetUnwritable,
                {.message = fmt::format("{} names no upload for {}", parts_.bucket.describe(), key),
                 .remedy = "See whether the URL is that of an S3 service."});
  }
  return {.id = std::move(id), .is_only = !outcome.repeated};
}

UploadedPart S3Client::upload_part(const std::string& key, const std::string& upload_id, int number,
                                   std::string_view bytes) {
  HttpRequest put = request("PUT", key, {{"partNumber", std::to_string(number)}, {"uploadId", upload_id}});
  put.body = bytes;
  Outcome outcome = call(kUploadPart, put, key);
  if (is_gone(outcome)) throw lost_upload(key);
  if (!outcome.succeeded) throw refused(kUploadPart, key, outcome);
  return {.number = number, .etag = std::string(outcome.response.header("etag"))};
}

void S3Client::complete_multipart_upload(const std::string& key, const std::string& upload_id,
                                         const std::vector<UploadedPart>& parts, std::int64_t bytes) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (const UploadedPart& part : parts) {
    body += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", part.number,
                        xml_escaped(part.etag));
  }
  body += "</CompleteMultipartUpload>";
  HttpRequest post = request("POST", key, {{"uploadId", upload_id}});
  post.headers.emplace_back("content-type", "application/xml");
  post.body = body;
  Outcome outcome = call(kCompleteUpload, post, key);
  if (outcome.succeeded && !outcome.repeated) return;
  // No answer to a repeated attempt tells what came of the first: "no such upload" is said of one that was
  // completed, and a service that died over the first may call an object written that it has not put
  // together.
  if (outcome.repeated && is_written(key, bytes)) return;
  if (outcome.succeeded || is_gone(outcome)) throw lost_upload(key);
  throw refused(kCompleteUpload, key, outcome);
}

bool S3Client::is_written(const std::string& key, std::int64_t bytes) {
  std::vector<ListedObject> there = list_objects(key, 1);
  return !there.empty() && there.front().key == key && there.front().size == bytes;
}

void S3Client::abort_multipart_upload(const std::string& key, const std::string& upload_id) {
  Outcome outcome = call(kAbortUpload, request("DELETE", key, {{"uploadId", upload_id}}), key);
  if (!outcome.succeeded && outcome.response.status != 404) {
    throw refused(kAbortUpload, key, outcome);
  }
}

void S3Client::delete_object(const std::string& key) {
  Outcome outcome = call(kDeleteObject, request("DELETE", key), key);
  bool not_there = outcome.response.status == 404 && outcome.error.code == "NoSuchKey";
  if (!outcome.succeeded && !not_there) throw refused(kDeleteObject, key, outcome);
}

std::vector<ListedObject> S3Client::list_objects(const std::string& prefix, std::size_t limit) {
  std::vector<ListedObject> objects;
  std::string token;
  std::set<std::string> tokens;
  while (objects.size() < limit) {
    std::size_t wanted = std::min<std::size_t>(limit - objects.size(), kKeysPerListing);
    NameValues query = {{"list-type", "2"},
                        {"prefix", prefix},
                        {"encoding-type", "url"},
                        {"max-keys", std::to_string(wanted)}};
    if (!token.empty()) query.emplace_back("continuation-token", token);
    Outcome outcome = call(kListObjects, request("GET", "", std::move(query)), "");
    if (!outcome.succeeded) throw refused(kListObjects, "", outcome);
    ObjectListing listing = parse_object_listing(outcome.response.body);
    for (ListedObject& object : listing.objects) {
      if (!object.key.starts_with(prefix)) {
        throw Error(ErrorKind::kTargetUnwritable,
                    {.message = fmt::format("{} lists {}, asked for keys that begin with {}",
                                            parts_.bucket.describe(), object.key, prefix),
                     .remedy = "See whether the URL is that of an S3 service."});
      }
      objects.push_back(std::move(object));
    }
    if (!listing.truncated) break;
    if (!tokens.insert(listing.next_token).second) {
      throw Error(ErrorKind::kTargetUnwritable,
                  {.message = fmt::format("{} gives the same page of its list of objects again and again",
                                          parts_.bucket.describe()),
                   .remedy = "See how the service is; without the whole list nothing is written."});
    }
    token = std::move(listing.next_token);
  }
  return objects;
}

std::vector<ListedUpload> S3Client::list_multipart_uploads(const std::string& prefix) {
  std::vector<ListedUpload> uploads;
  std::string next_key;
  std::string next_upload_id;
  std::set<std::pair<std::string, std::string>> pages;
  while (true) {
    NameValues query = {{"uploads", ""}, {"encoding-type", "url"}};
    // MinIO takes a prefix for a whole key, so elsewhere than at AWS all uploads of the bucket are asked for.
    if (is_aws_host(parts_.bucket.address.host)) query.emplace_back("prefix", prefix);
    if (!next_key.empty()) {
      query.emplace_back("key-marker", next_key);
      query.emplace_back("upload-id-marker", next_upload_id);
    }
    Outcome outcome = call(kListUploads, request("GET", "", std::move(query)), "");
    if (!outcome.succeeded) throw refused(kListUploads, "", outcome);
    UploadListing listing = parse_upload_listing(outcome.response.body);
    for (ListedUpload& upload : listing.uploads) {
      if (upload.key.starts_with(prefix)) uploads.push_back(std::move(upload));
    }
    bool moves_on = pages.emplace(listing.next_key, listing.next_upload_id).second;
    if (!listing.truncated || listing.next_key.empty() || !moves_on) return uploads;
    next_key = std::move(listing.next_key);
    next_upload_id = std::move(listing.next_upload_id);
  }
}

}  // namespace ferry::aws
