#include "connectors/s3/bucket_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <exception>
#include <future>
#include <mutex>
#include <optional>
#include <semaphore>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "connectors/s3/object_names.h"

// An object appears in a bucket whole: by one PutObject, or by the request that completes a multipart upload.
// What a killed process leaves is an upload that nobody completes; sweep() finds it by its key, which only
// this task writes.
namespace ferry::s3 {
namespace {

using aws::S3Client;
using aws::UploadedPart;
using base::Error;
using base::ErrorKind;
namespace fs = std::filesystem;

// The least that S3 takes as a part. 10,000 of them hold 48 GiB; the largest object is one of MaxFileSize, 1
// GiB, and a row.
constexpr std::size_t kPartBytes = 5 << 20;
static_assert(std::int64_t{aws::kPartsMax} * kPartBytes > std::int64_t{48} << 30);
// Of one object, and of all objects of a store: what bounds their memory.
constexpr std::size_t kPartsUnderWayMax = 2;
constexpr std::ptrdiff_t kPartsOfAllMax = 4;
using PartSlots = std::counting_semaphore<kPartsOfAllMax>;
// Written and removed by each start. No table's object can have the name: it has no folder of its own.
constexpr std::string_view kProbeName = ".ferry-probe";
constexpr std::string_view kProbe = "ferry";

[[noreturn]] void fail(int error, std::string_view action, const fs::path& folder) {
  throw Error(
      error == ENOSPC || error == EDQUOT ? ErrorKind::kTargetFull : ErrorKind::kStateUnusable,
      {.message =
           fmt::format("cannot {} a temporary file in {}: {}", action, folder.string(), ::strerror(error)),
       .remedy =
           "Free space there, or name another folder with --state; the same command goes on where it was.",
       .vendor_code = ::strerrorname_np(error) == nullptr ? "" : ::strerrorname_np(error)});
}

// Bytes that wait on this machine's disk, in a file without a name, which ends with the process.
class WaitingBytes {
 public:
  explicit WaitingBytes(const fs::path& folder) : folder_(folder) {
    descriptor_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor_ >= 0) return;
    if (errno != EOPNOTSUPP && errno != EISDIR) fail(errno, "make", folder_);
    // Not every file system has nameless files.
    std::string name = folder / "waiting-XXXXXX";
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor_ < 0) fail(errno, "make", folder_);
    ::unlink(name.c_str());
  }
  ~WaitingBytes() { ::close(descriptor_); }
  WaitingBytes(const WaitingBytes&) = delete;
  WaitingBytes& operator=(const WaitingBytes&) = delete;

  std::size_t size() const { return size_; }

  void append(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(errno, "write", folder_);
      bytes.remove_prefix(static_cast<std::size_t>(written));
      size_ += static_cast<std::size_t>(written);
    }
  }

  std::string read(std::size_t offset, std::size_t length) const {
    std::string bytes(length, '\0');
    std::size_t done = 0;
    while (done < length) {
      ssize_t count =
          ::pread(descriptor_, bytes.data() + done, length - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) fail(count < 0 ? errno : EIO, "read", folder_);
      done += static_cast<std::size_t>(count);
    }
    return bytes;
  }

 private:
  const fs::path folder_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

// A multipart upload of one object. Used by one thread, which sends parts by others. Destroying it before
// complete() removes what was sent.
class Upload {
 public:
  Upload(S3Client& client, PartSlots& slots, std::string key, const aws::NameValues& tags)
      : client_(client), slots_(slots), key_(std::move(key)) {
    S3Client::StartedUpload started = client_.create_multipart_upload(key_, tags);
    id_ = std::move(started.id);
    is_only_ = started.is_only;
  }
  ~Upload() {
    for (std::future<UploadedPart>& part : under_way_) part.wait();
    if (!completed_) abort(id_);
    if (!is_only_) abort_others();
  }
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  const std::string& key() const { return key_; }

  std::size_t under_way_bytes() const { return under_way_.size() * kPartBytes; }

  // Every part but the last has kPartBytes. Returns while it is being sent.
  void add_part(std::string bytes) {
    if (under_way_.size() == kPartsUnderWayMax) take_part();
    int number = static_cast<int>(parts_.size() + under_way_.size()) + 1;
    if (number > aws::kPartsMax) {
      throw Error(ErrorKind::kTargetUnwritable,
                  {.message = fmt::format("{} is larger than an object of {} parts", key_, aws::kPartsMax),
                   .remedy = "Set a smaller MaxFileSize."});
    }
    bytes_ += static_cast<std::int64_t>(bytes.size());
    // Whoever has a slot is sending, and a transfer has an end.
    slots_.acquire();
    std::unique_ptr<PartSlots, FreeSlot> slot(&slots_);
    under_way_.push_back(std::async(
        std::launch::async, [this, number, sent = std::move(bytes), slot = std::move(slot)]() mutable {
          // Free as soon as the part is sent or has failed: its object's thread may be waiting for a slot
          // itself.
          std::unique_ptr<PartSlots, FreeSlot> held = std::move(slot);
          std::string body = std::move(sent);
          return client_.upload_part(key_, id_, number, body);
        }));
  }

  void complete() {
    while (!under_way_.empty()) take_part();
    client_.complete_multipart_upload(key_, id_, parts_, bytes_);
    completed_ = true;
  }

 private:
  struct FreeSlot {
    void operator()(PartSlots* slots) const { slots->release(); }
  };

  void take_part() {
    std::future<UploadedPart> part = std::move(under_way_.front());
    under_way_.pop_front();
    parts_.push_back(part.get());
  }

  // What is left costs room, and the next start looks for it again. Called by the destructor, so nothing is
  // thrown.
  void abort(const std::string& id) {
    try {
      client_.abort_multipart_upload(key_, id);
    } catch (const std::exception& error) {
      base::log_info(base::kTaskManager, "an unfinished upload of {} is left: {}", key_, error.what());
    }
  }

  // The answer that named an upload was lost, and so was its name.
  void abort_others() {
    try {
      for (const aws::ListedUpload& other : client_.list_multipart_uploads(key_)) {
        if (other.key == key_ && other.upload_id != id_) abort(other.upload_id);
      }
    } catch (const std::exception& error) {
      base::log_info(base::kTaskManager, "an unfinished upload of {} may be left: {}", key_, error.what());
    }
  }

  S3Client& client_;
  PartSlots& slots_;
  const std::string key_;
  std::string id_;
  bool is_only_ = true;
  bool completed_ = false;
  std::int64_t bytes_ = 0;
  std::vector<UploadedPart> parts_;
  std::deque<std::future<UploadedPart>> under_way_;
};

class StagedBucketObject final : public StagedObject {
 public:
  StagedBucketObject(std::shared_ptr<S3Client> client, PartSlots& slots, const fs::path& scratch,
                     ObjectPlace place)
      : client_(std::move(client)), slots_(slots), scratch_(scratch), place_(std::move(place)) {
    for (const model::ObjectTag& tag : place_.tags) tags_.emplace_back(tag.key, tag.value);
  }

  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      std::size_t taken = std::min(bytes.size(), kPartBytes - buffer_.size());
      // Doubling would take more than a part.
      bool grows = buffer_.size() + taken > buffer_.capacity();
      if (grows && buffer_.capacity() >= kPartBytes / 4) buffer_.reserve(kPartBytes);
      buffer_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      if (buffer_.size() == kPartBytes) pass_on();
    }
  }

  void publish(const std::string& key) override {
    if (waiting_) {
      upload_.emplace(*client_, slots_, key, tags_);
      for (std::size_t at = 0; at < waiting_->size(); at += kPartBytes)
        upload_->add_part(waiting_->read(at, kPartBytes));
    }
    if (!upload_) {
      client_->put_object(key, buffer_, tags_);
      return;
    }
    if (upload_->key() != key)
      throw Error(ErrorKind::kInternal, fmt::format("{} was begun as {}", key, upload_->key()));
    if (!buffer_.empty()) upload_->add_part(std::move(buffer_));
    upload_->complete();
  }

  std::int64_t memory_bytes() const override {
    return static_cast<std::int64_t>(buffer_.capacity() + (upload_ ? upload_->under_way_bytes() : 0));
  }

 private:
  // A whole part leaves memory.
  void pass_on() {
    if (place_.key && !upload_) upload_.emplace(*client_, slots_, place_.key(), tags_);
    if (upload_) {
      upload_->add_part(std::exchange(buffer_, {}));
      buffer_.reserve(kPartBytes);
      return;
    }
    if (!waiting_) waiting_.emplace(scratch_);
    waiting_->append(buffer_);
    buffer_.clear();
  }

  const std::shared_ptr<S3Client> client_;
  PartSlots& slots_;
  const fs::path scratch_;
  const ObjectPlace place_;
  aws::NameValues tags_;
  std::string buffer_;                   // Less than a part.
  std::optional<Upload> upload_;         // Once the key is known and a part is full.
  std::optional<WaitingBytes> waiting_;  // Whole parts, while the key is not known.
};

class BucketStore final : public ObjectStore {
 public:
  BucketStore(std::shared_ptr<S3Client> client, fs::path scratch, std::string folder)
      : client_(std::move(client)), scratch_(std::move(scratch)), folder_(std::move(folder)) {}

  std::unique_ptr<StagedObject> stage(const ObjectPlace& place) override {
    return std::make_unique<StagedBucketObject>(client_, slots_, scratch_, place);
  }

  std::vector<std::string> list(const std::string& prefix) override {
    std::vector<std::string> keys;
    for (aws::ListedObject& object : client_->list_objects(prefix)) keys.push_back(std::move(object.key));
    std::ranges::sort(keys);
    return keys;
  }

  void remove(const std::string& key) override { client_->delete_object(key); }

  void sweep(const std::string& prefix) override {
    for (const aws::ListedUpload& upload : uploads_at_start()) {
      // Uploads of other names are somebody else's.
      bool own =
          upload.key.starts_with(prefix) && has_dms_form(std::string_view(upload.key).substr(prefix.size()));
      if (!own) continue;
      try {
        client_->abort_multipart_upload(upload.key, upload.upload_id);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kTargetPrivilege) throw;
        base::log_info(base::kTaskManager, "an unfinished upload of {} stays: {}", upload.key, error.what());
      }
    }
  }

  void probe() override {
    std::string key = folder_ + std::string(kProbeName);
    // Asked for first: a bucket that may not be listed would be found out when half the work is done.
    client_->list_objects(key, 1);
    client_->put_object(key, kProbe);
    client_->delete_object(key);
  }

 private:
  // Asked for once: what is begun later is this process's own.
  const std::vector<aws::ListedUpload>& uploads_at_start() {
    std::lock_guard lock(mutex_);
    if (uploads_) return *uploads_;
    try {
      uploads_ = client_->list_multipart_uploads(folder_);
    } catch (const Error& error) {
      // Not every user may, and not every service can.
      if (base::facts_of(error.kind()).recovery == base::Recovery::kRecoverable) throw;
      base::log_info(base::kTaskManager, "uploads that killed runs left are not looked for: {}",
                     error.what());
      uploads_.emplace();
    }
    return *uploads_;
  }

  const std::shared_ptr<S3Client> client_;
  const fs::path scratch_;
  const std::string folder_;
  PartSlots slots_{kPartsOfAllMax};
  std::mutex mutex_;  // Guards uploads_.
  std::optional<std::vector<aws::ListedUpload>> uploads_;
};

}  // namespace

std::unique_ptr<ObjectStore> make_bucket_store(std::shared_ptr<aws::S3Client> client, fs::path scratch,
                                               std::string folder) {
  return std::make_unique<BucketStore>(std::move(client), std::move(scratch), std::move(folder));
}

}  // namespace ferry::s3
