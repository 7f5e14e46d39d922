#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "aws/credentials.h"
#include "aws/http.h"
#include "aws/retry_schedule.h"
#include "aws/s3_answers.h"
#include "base/clock.h"
#include "base/error.h"

namespace ferry::aws {

// Where the bucket's name goes in a request.
enum class BucketStyle : std::uint8_t {
  kPath,         // https://host/bucket/key
  kVirtualHost,  // https://bucket.host/key
};

// A bucket as requests name it.
struct Bucket {
  std::string name;
  HostAddress address;  // With the bucket's name in front for BucketStyle::kVirtualHost.
  std::string
      base_path;  // What stands before every key: the URL's own path, and "/bucket" for BucketStyle::kPath.
  std::string region;

  // "s3://bucket at https://host", for messages.
  std::string describe() const;
};

// The bucket at `url`, or of AWS itself where that is empty. Without `style`: a URL whose host begins with
// the bucket's name is taken as it is, AWS's own hosts get kVirtualHost (but for names with a dot over TLS,
// which no certificate covers), all others kPath.
Bucket locate_bucket(const std::string& url, const std::string& bucket, const std::string& region,
                     std::optional<BucketStyle> style);

// What every object gets (Amazon S3 API Reference, "PutObject").
struct ObjectAttributes {
  std::string encryption = {};  // x-amz-server-side-encryption: "", "AES256" or "aws:kms".
  std::string kms_key_id = {};
  // A service that does not know the header is asked again without it.
  bool encryption_may_be_left_out = false;
  std::string canned_acl = {};  // x-amz-acl
};

// One part that the service has.
struct UploadedPart {
  int number = 0;  // 1 to kPartsMax.
  std::string etag;
};
inline constexpr int kPartsMax = 10000;

// What the client does on a bucket, and all it does: the policy of its user needs s3:PutObject,
// s3:DeleteObject, s3:ListBucket, s3:PutObjectTagging for tags and s3:PutObjectAcl for an ACL, and makes use
// of s3:AbortMultipartUpload and s3:ListBucketMultipartUploads. No object is ever read.
//
// Every call is tried again while the reason may pass: statuses from 500 on (but 501, 505 and 507), 408 and
// 429, SlowDown and its like, broken connections, answers that do not come, and bodies behind a good status
// that are not the answer. A stop request ends the waits, not a request under way.
// Throws Error(kTargetAuthentication, kTargetPrivilege, kTargetConfiguration, kTargetTls, kTargetFull,
// kTargetUnwritable), and kTargetUnreachable when the schedule has ended. Thread-safe.
class S3Client {
 public:
  // What the client uses; shared, because the credentials may use the same.
  struct Parts {
    Bucket bucket;
    ObjectAttributes attributes = {};
    std::string expected_bucket_owner = {};
    std::shared_ptr<Http> http;
    std::shared_ptr<CredentialSource> credentials;
    base::Clock& clock;  // Of the machine: requests are signed with its time. Outlives the client.
    RetrySchedule schedule = {};
    std::stop_token stop = {};
  };
  explicit S3Client(Parts parts);

  const Bucket& bucket() const { return parts_.bucket; }

  // The tags become the object's own, at most 10.
  void put_object(const std::string& key, std::string_view bytes, const NameValues& tags = {});

  // A multipart upload. Every part but the last has at least 5 MiB. `is_only` says that no earlier attempt of
  // the call can have made an upload that nobody knows of.
  struct StartedUpload {
    std::string id;
    bool is_only = true;
  };
  StartedUpload create_multipart_upload(const std::string& key, const NameValues& tags = {});
  UploadedPart upload_part(const std::string& key, const std::string& upload_id, int number,
                           std::string_view bytes);
  // The parts by number. Where it took more than one attempt, whatever the last one's answer, the listing
  // tells: the object counts as written if it is there with `bytes`. It may be there too when the schedule
  // has ended without an answer; writing it anew does no harm.
  void complete_multipart_upload(const std::string& key, const std::string& upload_id,
                                 const std::vector<UploadedPart>& parts, std::int64_t bytes);
  // One that is not there is no error.
  void abort_multipart_upload(const std::string& key, const std::string& upload_id);

  // A key that is not there is no error.
  void delete_object(const std::string& key);

  // The objects whose keys begin with `prefix`; no more than `limit`. Throws Error(kTargetUnwritable) for a
  // listing that holds other keys or does not come to an end.
  std::vector<ListedObject> list_objects(const std::string& prefix, std::size_t limit = SIZE_MAX);
  std::vector<ListedUpload> list_multipart_uploads(const std::string& prefix);

 private:
  struct Action;
  struct Outcome;
  static const Action kPutObject, kCreateUpload, kUploadPart, kCompleteUpload, kAbortUpload, kDeleteObject,
      kListObjects, kListUploads;

  HttpRequest request(std::string_view method, const std::string& key, NameValues query = {}) const;
  Outcome call(const Action& action, const HttpRequest& request, const std::string& key);
  Outcome call_with_attributes(const Action& action, HttpRequest request, const std::string& key);
  base::Error refused(const Action& action, const std::string& key, const Outcome& outcome) const;
  static bool is_gone(const Outcome& outcome);
  bool is_written(const std::string& key, std::int64_t bytes);
  base::Error lost_upload(const std::string& key) const;
  bool correct_clock(const HttpResponse& response, const ServiceError& error);
  double random();

  const Parts parts_;
  std::atomic<std::int64_t> clock_offset_{0};  // Microseconds that the service is ahead.
  std::atomic<bool> had_answer_{false};
  std::atomic<bool> without_encryption_{false};
  std::atomic<bool> wants_md5_{false};
  std::mutex random_mutex_;
  std::minstd_rand random_;
};

}  // namespace ferry::aws
