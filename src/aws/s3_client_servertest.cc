// The client against a real S3 service, which tests/support/s3_server.py starts.

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "aws/s3_client.h"

namespace ferry::aws {
namespace {

constexpr std::size_t kPartBytes = 5 << 20;

class S3ClientServerTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* url = ::getenv("AWS_ENDPOINT_URL_S3");
    ASSERT_NE(url, nullptr) << "run this by tests/support/s3_server.py";
    static int tests = 0;
    prefix_ = "test" + std::to_string(++tests) + "-" + std::to_string(::getpid()) + "/";
    Environment environment = Environment::of_process();
    http_ = make_http({});
    credentials_ =
        make_credential_chain({.environment = environment, .http = http_, .clock = base::Clock::real()});
    // Moved from variables: GCC 12 takes members of an unfinished aggregate for uninitialised.
    Bucket bucket = locate_bucket(url, "client", environment.region().value_or("us-east-1"), {});
    ObjectAttributes attributes;
    S3Client::Parts parts{.bucket = std::move(bucket),
                          .attributes = std::move(attributes),
                          .http = http_,
                          .credentials = credentials_,
                          .clock = base::Clock::real()};
    client_ = std::make_unique<S3Client>(std::move(parts));
  }

  std::vector<std::string> keys(std::size_t limit = SIZE_MAX) {
    std::vector<std::string> keys;
    for (const ListedObject& object : client_->list_objects(prefix_, limit)) keys.push_back(object.key);
    std::ranges::sort(keys);
    return keys;
  }

  // The client itself reads nothing.
  std::string tags_of(const std::string& key) {
    HttpRequest request{.method = "GET",
                        .address = client_->bucket().address,
                        .path = client_->bucket().base_path + "/" + key,
                        .query = {{"tagging", ""}},
                        .headers = {{"x-amz-content-sha256", sha256_hex("")}}};
    sign(request, credentials_->get({}), {.region = client_->bucket().region, .service = "s3"},
         base::Clock::real().now());
    return http_->send(request, {}).body;
  }

  std::shared_ptr<Http> http_;
  std::shared_ptr<CredentialSource> credentials_;
  std::string prefix_;
  std::unique_ptr<S3Client> client_;
};

TEST_F(S3ClientServerTest, PutsListsAndRemoves) {
  for (const char* each : {"plain", "a b/c+d&e=f?g#h%41.csv", "\u00e4\u20ac/\"quoted\" <x>"}) {
    std::string name = each;
    client_->put_object(prefix_ + name, "12345");
    ASSERT_EQ(keys(), std::vector<std::string>{prefix_ + name});
    EXPECT_EQ(client_->list_objects(prefix_).front().size, 5);
    client_->delete_object(prefix_ + name);
    ASSERT_EQ(keys(), std::vector<std::string>{});
  }
  client_->delete_object(prefix_ + "never there");
}

TEST_F(S3ClientServerTest, PutsEmptyObjectsAndReplacesThem) {
  client_->put_object(prefix_ + "k", "");
  EXPECT_EQ(client_->list_objects(prefix_).front().size, 0);
  client_->put_object(prefix_ + "k", "123");
  EXPECT_EQ(client_->list_objects(prefix_).front().size, 3);
}

TEST_F(S3ClientServerTest, ListsMoreThanOnePage) {
  constexpr int kObjects = 1003;
  std::vector<std::jthread> writers;
  for (int writer = 0; writer < 8; ++writer) {
    writers.emplace_back([this, writer] {
      for (int i = writer; i < kObjects; i += 8) client_->put_object(prefix_ + std::to_string(i), "x");
    });
  }
  writers.clear();
  std::vector<std::string> found = keys();
  EXPECT_EQ(found.size(), kObjects);
  EXPECT_EQ(std::ranges::adjacent_find(found), found.end());
  EXPECT_EQ(keys(7).size(), 7U);
}

TEST_F(S3ClientServerTest, AnUploadIsAnObjectOnceItIsCompleted) {
  std::string key = prefix_ + "large";
  S3Client::StartedUpload upload = client_->create_multipart_upload(key);
  EXPECT_TRUE(upload.is_only);
  std::vector<UploadedPart> parts = {client_->upload_part(key, upload.id, 1, std::string(kPartBytes, 'a')),
                                     client_->upload_part(key, upload.id, 2, "the rest")};
  EXPECT_TRUE(keys().empty());
  ASSERT_EQ(client_->list_multipart_uploads(prefix_).size(), 1U);
  EXPECT_EQ(client_->list_multipart_uploads(prefix_).front().key, key);
  EXPECT_TRUE(client_->list_multipart_uploads(prefix_ + "other").empty());
  client_->complete_multipart_upload(key, upload.id, parts, kPartBytes + 8);
  EXPECT_EQ(client_->list_objects(prefix_).front().size, kPartBytes + 8);
  EXPECT_TRUE(client_->list_multipart_uploads(prefix_).empty());
}

TEST_F(S3ClientServerTest, AnAbortedUploadIsGone) {
  std::string key = prefix_ + "large";
  std::string id = client_->create_multipart_upload(key).id;
  client_->upload_part(key, id, 1, "part");
  client_->abort_multipart_upload(key, id);
  client_->abort_multipart_upload(key, id);
  EXPECT_TRUE(client_->list_multipart_uploads(prefix_).empty());
  EXPECT_THROW(client_->upload_part(key, id, 2, "part"), base::Error);
}

TEST_F(S3ClientServerTest, TagsAnObject) {
  client_->put_object(prefix_ + "k", "1", {{"table", "a b"}, {"schema", "public"}});
  EXPECT_NE(tags_of(prefix_ + "k").find("<Value>a b</Value>"), std::string::npos);
  client_->put_object(prefix_ + "k", "1", {{"table", "c"}});
  EXPECT_NE(tags_of(prefix_ + "k").find("<Key>table</Key><Value>c</Value>"), std::string::npos);
  EXPECT_EQ(tags_of(prefix_ + "k").find("schema"), std::string::npos);
}

}  // namespace
}  // namespace ferry::aws
