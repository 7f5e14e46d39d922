#include "cli/target_uri.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/error.h"

namespace ferry::cli {
namespace {

class TargetUri : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"})
      ::unsetenv(name);
  }
  void TearDown() override { SetUp(); }
  static std::string setting(const model::Endpoint& endpoint, std::string_view name) {
    const model::EndpointSetting* found = endpoint.find_setting(name);
    return found == nullptr ? "" : found->value;
  }
};

TEST_F(TargetUri, IsADirectoryOrABucketWithAFolder) {
  EXPECT_EQ(parse_target_uri("file:///data").endpoint_url, "file:///data");
  model::Endpoint bucket = parse_target_uri("s3://lake/raw/x");
  EXPECT_EQ(bucket.engine_name, "s3");
  EXPECT_EQ(bucket.endpoint_url, "");
  EXPECT_EQ(setting(bucket, "bucketname"), "lake");
  EXPECT_EQ(setting(bucket, "bucketfolder"), "raw/x");
  EXPECT_EQ(parse_target_uri("s3://lake").find_setting("bucketfolder"), nullptr);
  EXPECT_EQ(parse_target_uri("s3://lake/").find_setting("bucketfolder"), nullptr);
}

TEST_F(TargetUri, TakesTheServiceFromTheEnvironment) {
  ::setenv("AWS_ENDPOINT_URL", "http://all:1", 1);
  EXPECT_EQ(parse_target_uri("s3://lake").endpoint_url, "http://all:1");
  ::setenv("AWS_ENDPOINT_URL_S3", "http://s3:2", 1);
  EXPECT_EQ(parse_target_uri("s3://lake").endpoint_url, "http://s3:2");
  EXPECT_EQ(parse_target_uri("file:///data").endpoint_url, "file:///data");
  for (const char* yes : {"true", "True"}) {
    ::setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", yes, 1);
    EXPECT_EQ(parse_target_uri("s3://lake").endpoint_url, "");
  }
}

TEST_F(TargetUri, IsThePlaceHoweverItIsWritten) {
  for (const char* same :
       {"file:///data/shop", "file:///data/shop/", "file:///./data//shop/.", "file:////data/shop"}) {
    EXPECT_EQ(normal_target_uri(same), "file:///data/shop") << same;
  }
  EXPECT_EQ(normal_target_uri("s3://lake/raw//x/"), "s3://lake/raw/x");
  EXPECT_EQ(normal_target_uri("s3://lake/"), "s3://lake");
  for (const char* kept :
       {"file:///", "file:///a/../b", "file:///a/.b", "s3://", "s3:///folder", "", "data/", "ftp://h/"}) {
    EXPECT_EQ(normal_target_uri(kept), kept);
  }
}

TEST_F(TargetUri, LeavesOtherSchemesToTheConnector) {
  for (const char* other : {"", "/data", "ftp://h", "https://h"}) {
    EXPECT_EQ(parse_target_uri(other).endpoint_url, other);
    EXPECT_TRUE(parse_target_uri(other).settings.empty());
  }
}

TEST_F(TargetUri, RefusesABucketWithoutAName) {
  for (const char* bad : {"s3://", "s3:///folder"}) {
    try {
      parse_target_uri(bad);
      ADD_FAILURE() << bad;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kUsage);
    }
  }
}

}  // namespace
}  // namespace ferry::cli
