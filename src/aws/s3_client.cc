#include "aws/s3_client.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/log.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;

constexpr std::string_view kAwsDomain = ".amazonaws.com";
constexpr int kKeysPerListing = 1000;

struct CodeKind {
  std::string_view code;
  ErrorKind kind;
};

// What S3's error codes mean to a task (Amazon S3 API Reference, "Error responses", and what services like it
// add). A code that is not here is told by its status.
constexpr std::array kCodeKinds = {
    CodeKind{"InvalidAccessKeyId", ErrorKind::kTargetAuthentication},
    CodeKind{"SignatureDoesNotMatch", ErrorKind::kTargetAuthentication},
    CodeKind{"InvalidToken", ErrorKind::kTargetAuthentication},
    CodeKind{"ExpiredToken", ErrorKind::kTargetAuthentication},
    CodeKind{"TokenRefreshRequired", ErrorKind::kTargetAuthentication},
    CodeKind{"InvalidSecurity", ErrorKind::kTargetAuthentication},
    CodeKind{"XAdminUserNotFound", ErrorKind::kTargetAuthentication},
    CodeKind{"AccessDenied", ErrorKind::kTargetPrivilege},
    CodeKind{"AllAccessDisabled", ErrorKind::kTargetPrivilege},
    CodeKind{"NoSuchBucket", ErrorKind::kTargetConfiguration},
    CodeKind{"InvalidBucketName", ErrorKind::kTargetConfiguration},
    CodeKind{"AuthorizationHeaderMalformed", ErrorKind::kTargetConfiguration},
    CodeKind{"PermanentRedirect", ErrorKind::kTargetConfiguration},
    CodeKind{"TemporaryRedirect", ErrorKind::kTargetConfiguration},
    CodeKind{"IllegalLocationConstraintException", ErrorKind::kTargetConfiguration},
    CodeKind{"RequestTimeTooSkewed", ErrorKind::kTargetConfiguration},
    CodeKind{"QuotaExceeded", ErrorKind::kTargetFull},
    CodeKind{"XMinioStorageFull", ErrorKind::kTargetFull},
    CodeKind{"XMinioAdminBucketQuotaExceeded", ErrorKind::kTargetFull},
    CodeKind{"SlowDown", ErrorKind::kTargetUnreachable},
    CodeKind{"InternalError", ErrorKind::kTargetUnreachable},
    CodeKind{"ServiceUnavailable", ErrorKind::kTargetUnreachable},
    CodeKind{"RequestTimeout", ErrorKind::kTargetUnreachable},
    CodeKind{"RequestLimitExceeded", ErrorKind::kTargetUnreachable},
    CodeKind{"Throttling", ErrorKind::kTargetUnreachable},
    CodeKind{"ThrottlingException", ErrorKind::kTargetUnreachable},
    CodeKind{"OperationAborted", ErrorKind::kTargetUnreachable},
};

ErrorKind kind_of(int status, std::string_view code) {
  auto found = std::ranges::find(kCodeKinds, code, &CodeKind::code);
  if (found != kCodeKinds.end()) return found->kind;
  if (status == 507) return ErrorKind::kTargetFull;
  if (status == 429 || (status >= 500 && status <= 504 && status != 501))
    return ErrorKind::kTargetUnreachable;
  if (status == 401) return ErrorKind::kTargetAuthentication;
  if (status == 403) return ErrorKind::kTargetPrivilege;
  if (status >= 300 && status < 400) return ErrorKind::kTargetConfiguration;
  return ErrorKind::kTargetUnwritable;
}

bool begins_with_bucket(const std::string& host, const std::string& bucket) {
  return host.starts_with(bucket + '.');
}

bool is_aws(std::string_view host) {
  return host.ends_with(kAwsDomain) || host.ends_with(".amazonaws.com.cn");
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

}  // namespace

std::string Bucket::describe() const { return fmt::format("s3://{} at {}", name, address.url()); }

Bucket locate_bucket(const std::string& url, const std::string& bucket, const std::string& region,
                     std::optional<BucketStyle> style) {
  // A Chinese region has a domain of its own.
  std::string_view suffix = region.starts_with("cn-") ? ".cn" : "";
  ServiceUrl place =
      parse_service_url(url.empty() ? fmt::format("https://s3.{}{}{}", region, kAwsDomain, suffix) : url);
  Bucket located{.name = bucket, .address = place.address, .base_path = place.path, .region = region};
  if (!style) {
    if (begins_with_bucket(place.address.host, bucket)) return located;
    bool covered = !place.address.tls || bucket.find('.') == std::string::npos;
    style = is_aws(place.address.host) && covered ? BucketStyle::kVirtualHost : BucketStyle::kPath;
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
  int attempts_max = std::numeric_limits<int>::max();  // Where fewer than the schedule's will do.
};
const S3Client::Action S3Client::kPutObject{"PutObject", "s3:PutObject"};
const S3Client::Action S3Client::kCreateUpload{"CreateMultipartUpload", "s3:PutObject"};
const S3Client::Action S3Client::kUploadPart{"UploadPart", "s3:PutObject"};
const S3Client::Action S3Client::kCompleteUpload{"CompleteMultipartUpload", "s3:PutObject"};
const S3Client::Action S3Client::kAbortUpload{"AbortMultipartUpload", "s3:AbortMultipartUpload", 3};
const S3Client::Action S3Client::kDeleteObject{"DeleteObject", "s3:DeleteObject"};
const S3Client::Action S3Client::kListObjects{"ListObjectsV2", "s3:ListBucket"};
const S3Client::Action S3Client::kListUploads{"ListMultipartUploads", "s3:ListBucketMultipartUploads"};

// What came of a call.
struct S3Client::Outcome {
  HttpResponse response;
  ServiceError error;  // Of an answer that is no success.
  bool succeeded = false;
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
  clock_offset_ = *time - parts_.clock.now();
  base::log_warning(base::kTaskManager,
                    "this machine's clock and that of {} differ by {} s; requests are signed with the latter",
                    parts_.bucket.address.url(), std::abs(clock_offset_.load()) / 1'000'000);
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
    std::optional<Error> failure;
    try {
      sign(attempt, parts_.credentials->get(parts_.stop), {.region = parts_.bucket.region, .service = "s3"},
           parts_.clock.now() + clock_offset_);
      outcome.response = parts_.http->send(attempt, parts_.stop);
      had_answer_ = true;
      // CompleteMultipartUpload may fail behind a good status.
      bool good_status = outcome.response.status >= 200 && outcome.response.status < 300;
      outcome.error =
          good_status && &action != &kCompleteUpload ? ServiceError() : parse_error(outcome.response.body);
      outcome.succeeded = good_status && outcome.error.code.empty();
      if (outcome.succeeded) return outcome;
      if (!clock_corrected && correct_clock(outcome.response, outcome.error)) {
        clock_corrected = true;
        continue;
      }
      if (!credentials_renewed && outcome.error.code == "ExpiredToken") {
        parts_.credentials->expired();
        credentials_renewed = true;
        continue;
      }
      int status = good_status ? 400 : outcome.response.status;
      if (kind_of(status, outcome.error.code) != ErrorKind::kTargetUnreachable) return outcome;
      failure = refused(action, key, outcome.response, outcome.error);
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
  bool header_refused =
      !outcome.succeeded && (outcome.response.status == 400 || outcome.response.status == 501);
  bool other_reason = kind_of(outcome.response.status, outcome.error.code) != ErrorKind::kTargetUnwritable;
  if (!attributes.encryption_may_be_left_out || !header_refused || other_reason) return outcome;
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

Error S3Client::refused(const Action& action, const std::string& key, const HttpResponse& response,
                        const ServiceError& error) const {
  ErrorKind kind = kind_of(response.status, error.code);
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
  return outcome.response.status == 404 && outcome.error.code == "NoSuchUpload";
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
  if (!outcome.succeeded) throw refused(kPutObject, key, outcome.response, outcome.error);
}

S3Client::StartedUpload S3Client::create_multipart_upload(const std::string& key, const NameValues& tags) {
  HttpRequest post = request("POST", key, {{"uploads", ""}});
  add_tags(post, tags);
  Outcome outcome = call_with_attributes(kCreateUpload, post, key);
  if (!outcome.succeeded) throw refused(kCreateUpload, key, outcome.response, outcome.error);
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
  if (!outcome.succeeded && is_gone(outcome)) throw lost_upload(key);
  if (!outcome.succeeded) throw refused(kUploadPart, key, outcome.response, outcome.error);
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
  if (!outcome.succeeded && !is_gone(outcome)) {
    throw refused(kCompleteUpload, key, outcome.response, outcome.error);
  }
  // Neither answer to a repeated attempt tells what came of the first: "no such upload" is said of one that
  // was completed, and a service that died over the first may call an object written that it has not put
  // together.
  std::vector<ListedObject> there = outcome.repeated ? list_objects(key, 1) : std::vector<ListedObject>();
  if (there.empty() || there.front().key != key || there.front().size != bytes) throw lost_upload(key);
}

void S3Client::abort_multipart_upload(const std::string& key, const std::string& upload_id) {
  Outcome outcome = call(kAbortUpload, request("DELETE", key, {{"uploadId", upload_id}}), key);
  if (!outcome.succeeded && outcome.response.status != 404) {
    throw refused(kAbortUpload, key, outcome.response, outcome.error);
  }
}

void S3Client::delete_object(const std::string& key) {
  Outcome outcome = call(kDeleteObject, request("DELETE", key), key);
  bool not_there = outcome.response.status == 404 && outcome.error.code == "NoSuchKey";
  if (!outcome.succeeded && !not_there) throw refused(kDeleteObject, key, outcome.response, outcome.error);
}

std::vector<ListedObject> S3Client::list_objects(const std::string& prefix, std::size_t limit) {
  std::vector<ListedObject> objects;
  std::string token;
  while (objects.size() < limit) {
    std::size_t wanted = std::min<std::size_t>(limit - objects.size(), kKeysPerListing);
    NameValues query = {{"list-type", "2"},
                        {"prefix", prefix},
                        {"encoding-type", "url"},
                        {"max-keys", std::to_string(wanted)}};
    if (!token.empty()) query.emplace_back("continuation-token", token);
    Outcome outcome = call(kListObjects, request("GET", "", std::move(query)), "");
    if (!outcome.succeeded) throw refused(kListObjects, "", outcome.response, outcome.error);
    ObjectListing listing = parse_object_listing(outcome.response.body);
    std::ranges::move(listing.objects, std::back_inserter(objects));
    if (!listing.truncated) break;
    if (listing.next_token == token) {
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
  while (true) {
    NameValues query = {{"uploads", ""}, {"encoding-type", "url"}};
    // MinIO takes a prefix for a whole key, so elsewhere than at AWS all uploads of the bucket are asked for.
    if (is_aws(parts_.bucket.address.host)) query.emplace_back("prefix", prefix);
    if (!next_key.empty()) {
      query.emplace_back("key-marker", next_key);
      query.emplace_back("upload-id-marker", next_upload_id);
    }
    Outcome outcome = call(kListUploads, request("GET", "", std::move(query)), "");
    if (!outcome.succeeded) throw refused(kListUploads, "", outcome.response, outcome.error);
    UploadListing listing = parse_upload_listing(outcome.response.body);
    for (ListedUpload& upload : listing.uploads) {
      if (upload.key.starts_with(prefix)) uploads.push_back(std::move(upload));
    }
    bool moves_on = listing.next_key != next_key || listing.next_upload_id != next_upload_id;
    if (!listing.truncated || listing.next_key.empty() || !moves_on) return uploads;
    next_key = std::move(listing.next_key);
    next_upload_id = std::move(listing.next_upload_id);
  }
}

}  // namespace ferry::aws
