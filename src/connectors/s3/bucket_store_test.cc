#include "connectors/s3/bucket_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include "base/error.h"

namespace ferry::s3 {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPartBytes = 5 << 20;
constexpr std::chrono::seconds kDeadline{30};
constexpr std::chrono::milliseconds kBlocksAfter{200};

class KnownKeys final : public aws::CredentialSource {
 public:
  aws::Credentials get(std::stop_token) override {
    return {.access_key_id = "key", .secret_access_key = base::Secret("secret")};
  }
  void expired(const std::string&) override {}
};

// A bucket in memory, with one upload for each key. Parts wait while it is held.
class MemoryBucket final : public aws::Http {
 public:
  aws::HttpResponse send(const aws::HttpRequest& request, std::stop_token) override {
    std::unique_lock lock(mutex_);
    std::string action = request.method;
    aws::NameValues query = request.query;
    std::ranges::sort(query);
    for (const auto& [name, value] : query) action += ' ' + name;
    requests.push_back(action);
    if (action == "GET encoding-type uploads") {
      if (failing_listings > 0 && failing_listings-- > 0) return {.status = 503};
      return {.status = 200,
              .body =
                  "<ListMultipartUploadsResult><Upload><Key>t/LOAD00000001.csv</Key><UploadId>u</UploadId>"
                  "</Upload></ListMultipartUploadsResult>"};
    }
    if (action == "POST uploads") {
      return {
          .status = 200,
          .body = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"};
    }
    if (action == "POST uploadId") {
      for (auto& [number, bytes] : sent_[request.path]) objects[request.path] += bytes;
      return {.status = 200, .body = "<CompleteMultipartUploadResult/>"};
    }
    if (action == "PUT") objects[request.path] = request.body;
    if (action != "PUT partNumber uploadId") return {.status = action == "PUT" ? 200 : 204};

    under_way_max = std::max(under_way_max, ++under_way_);
    changed_.notify_all();
    EXPECT_TRUE(changed_.wait_for(lock, kDeadline, [&] { return !held_; }));
    --under_way_;
    if (refuses_parts) return {.status = 403};
    sent_[request.path][std::stoi(request.query[0].second)] = request.body;
    return {.status = 200, .headers = {{"etag", "e"}}};
  }

  void hold() { held_ = true; }
  void let_go_at(int parts_under_way) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kDeadline, [&] { return under_way_ >= parts_under_way; }));
    // One more would come soon; that none does cannot be waited for.
    changed_.wait_for(lock, kBlocksAfter, [&] { return under_way_ > parts_under_way; });
    held_ = false;
    changed_.notify_all();
  }

  std::map<std::string, std::string> objects;
  std::vector<std::string> requests;
  int under_way_max = 0;
  bool refuses_parts = false;
  int failing_listings = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::map<int, std::string>> sent_;
  int under_way_ = 0;
  bool held_ = false;
};

class BucketStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "ferry-bucket-store-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    scratch_ = name;
    make_store({});
  }
  void make_store(const aws::RetrySchedule& schedule) {
    aws::Bucket bucket = aws::locate_bucket("http://h", "lake", "us-east-1", {});
    aws::ObjectAttributes attributes;
    std::shared_ptr<aws::CredentialSource> keys = std::make_shared<KnownKeys>();
    aws::S3Client::Parts parts{.bucket = std::move(bucket),
                               .attributes = std::move(attributes),
                               .http = http_,
                               .credentials = std::move(keys),
                               .clock = base::Clock::real(),
                               .schedule = schedule};
    store_ = make_bucket_store(std::make_shared<aws::S3Client>(std::move(parts)), scratch_, "");
  }
  void TearDown() override { fs::remove_all(scratch_); }

  static std::string bytes_of(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i % 23);
    return bytes;
  }
  // A place whose key is known, and counts how often it is asked for.
  ObjectPlace known(const std::string& key) {
    return {.prefix = "t/", .key = [this, key] {
              ++asked_;
              return key;
            }};
  }

  std::shared_ptr<MemoryBucket> http_ = std::make_shared<MemoryBucket>();
  fs::path scratch_;
  std::unique_ptr<ObjectStore> store_;
  int asked_ = 0;
};

TEST_F(BucketStoreTest, AnObjectBelowAPartIsOneRequest) {
  for (const ObjectPlace& place : {known("t/k"), ObjectPlace{.prefix = "t/"}}) {
    http_->requests.clear();
    auto object = store_->stage(place);
    object->write(bytes_of(kPartBytes - 1));
    EXPECT_TRUE(http_->requests.empty());
    object->publish("t/k");
    EXPECT_EQ(http_->requests, std::vector<std::string>{"PUT"});
    EXPECT_EQ(http_->objects["/lake/t/k"], bytes_of(kPartBytes - 1));
  }
  EXPECT_EQ(asked_, 0);
}

TEST_F(BucketStoreTest, ALargeObjectIsSentWhenItsKeyIsKnown) {
  for (std::size_t size : {kPartBytes, kPartBytes + 1, 3 * kPartBytes + 17}) {
    asked_ = 0;
    http_->requests.clear();
    http_->objects.clear();
    std::string bytes = bytes_of(size);
    auto early = store_->stage(known("t/k"));
    for (std::size_t at = 0; at < size; at += 100'000)
      early->write(std::string_view(bytes).substr(at, 100'000));
    EXPECT_EQ(http_->requests.front(), "POST uploads");
    EXPECT_EQ(asked_, 1);
    EXPECT_TRUE(http_->objects.empty());
    early->publish("t/k");
    EXPECT_EQ(http_->objects["/lake/t/k"], bytes);

    http_->requests.clear();
    auto late = store_->stage({.prefix = "t/"});
    late->write(bytes);
    EXPECT_TRUE(http_->requests.empty());
    EXPECT_LE(late->memory_bytes(), static_cast<std::int64_t>(kPartBytes));
    EXPECT_TRUE(fs::is_empty(scratch_)) << "what waits has no name that could be left";
    late->publish("t/late");
    EXPECT_EQ(http_->objects["/lake/t/late"], bytes);
  }
}

TEST_F(BucketStoreTest, AnObjectThatIsGivenUpIsAborted) {
  store_->stage(known("t/k"))->write(bytes_of(kPartBytes));
  EXPECT_EQ(http_->requests.back(), "DELETE uploadId");
  EXPECT_TRUE(http_->objects.empty());
}

// What one sweep could not find out is not taken for nothing by the next.
TEST_F(BucketStoreTest, SweepsAfterAListingThatFailed) {
  constexpr int kAttempts = 3;
  http_->failing_listings = kAttempts;
  store_.reset();
  make_store({.attempts_max = kAttempts, .first_wait = {}, .longest_wait = {}});
  EXPECT_THROW(store_->sweep("t/"), base::Error);
  store_->sweep("t/");
  EXPECT_EQ(http_->requests.back(), "DELETE uploadId");
}

TEST_F(BucketStoreTest, TwoPartsOfAnObjectAreUnderWay) {
  http_->hold();
  std::jthread writer([this] {
    auto object = store_->stage(known("t/k"));
    object->write(bytes_of(5 * kPartBytes));
    object->publish("t/k");
  });
  http_->let_go_at(2);
  writer.join();
  EXPECT_EQ(http_->under_way_max, 2);
  EXPECT_EQ(http_->objects["/lake/t/k"], bytes_of(5 * kPartBytes));
}

TEST_F(BucketStoreTest, FourPartsOfAllObjectsAreUnderWay) {
  http_->hold();
  std::vector<std::jthread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([this, key = "t/" + std::to_string(i)] {
      auto object = store_->stage({.prefix = "t/", .key = [key] { return key; }});
      object->write(bytes_of(4 * kPartBytes));
      object->publish(key);
    });
  }
  http_->let_go_at(4);
  writers.clear();
  EXPECT_EQ(http_->under_way_max, 4);
  EXPECT_EQ(http_->objects.size(), 4U);
}

// A part that has failed holds no place that another object, or its own, waits for.
TEST_F(BucketStoreTest, FailedPartsHoldNothingUp) {
  http_->refuses_parts = true;
  std::vector<std::jthread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([this, key = "t/" + std::to_string(i)] {
      auto object = store_->stage({.prefix = "t/", .key = [key] { return key; }});
      EXPECT_THROW(object->write(bytes_of(8 * kPartBytes)), base::Error);
    });
  }
  writers.clear();
  EXPECT_TRUE(http_->objects.empty());
}

}  // namespace
}  // namespace ferry::s3
