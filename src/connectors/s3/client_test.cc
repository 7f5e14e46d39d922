#include "connectors/s3/client.h"

#include <gtest/gtest.h>

#include <map>

#include "aws/sts.h"
#include "base/error.h"

namespace ferry::s3 {
namespace {

class ClientPlaces : public testing::Test {
 protected:
  aws::Environment environment() const {
    auto find = [](const std::map<std::string, std::string>& all, const std::string& name) {
      auto found = all.find(name);
      return found == all.end() ? std::nullopt : std::optional(found->second);
    };
    return {.variable = [this, find](const char* name) { return find(variables_, name); },
            .file = [this, find](const std::string& path) { return find(files_, path); }};
  }
  std::string url(const std::string& endpoint_url = "") const {
    BucketSettings settings;
    settings.endpoint_url = endpoint_url;
    return bucket_url(environment(), settings, "eu-west-1");
  }
  bool gives_roles(const std::string& endpoint_url) const {
    return has_sts(environment(), aws::locate_bucket(endpoint_url, "lake", "eu-west-1", {}));
  }
  std::string sts(const std::string& region) const {
    return aws::sts_endpoint(environment(), region).address.url();
  }

  std::map<std::string, std::string> variables_{{"HOME", "/home"}};
  std::map<std::string, std::string> files_;
};

TEST_F(ClientPlaces, RolesAreGivenWhereAnStsIs) {
  EXPECT_TRUE(gives_roles(""));
  EXPECT_TRUE(gives_roles("https://s3.eu-west-1.amazonaws.com"));
  EXPECT_FALSE(gives_roles("https://minio.example"));
  EXPECT_EQ(sts("eu-west-1"), "https://sts.eu-west-1.amazonaws.com");
  EXPECT_EQ(sts("cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn");
  variables_["AWS_ENDPOINT_URL_STS"] = "https://sts.example";
  EXPECT_TRUE(gives_roles("https://minio.example"));
  EXPECT_EQ(sts("eu-west-1"), "https://sts.example");
  variables_["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "TRUE";
  EXPECT_FALSE(gives_roles("https://minio.example"));
  EXPECT_EQ(sts("eu-west-1"), "https://sts.eu-west-1.amazonaws.com");
}

TEST_F(ClientPlaces, AwssOwnEndpointsAreThoseAskedFor) {
  EXPECT_EQ(url(), "https://s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(url("http://h"), "http://h");
  variables_["AWS_USE_DUALSTACK_ENDPOINT"] = "true";
  EXPECT_EQ(url(), "https://s3.dualstack.eu-west-1.amazonaws.com");
  files_["/home/.aws/config"] = "[default]\nuse_fips_endpoint = True\n";
  EXPECT_EQ(url(), "https://s3-fips.dualstack.eu-west-1.amazonaws.com");
  EXPECT_EQ(sts("eu-west-1"), "https://sts-fips.eu-west-1.amazonaws.com");
}

TEST_F(ClientPlaces, AProfileThatMayNameAnotherServiceIsRefused) {
  for (const char* setting : {"endpoint_url = http://minio:9000\n", "services = minio\n"}) {
    variables_.erase("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    files_["/home/.aws/config"] = std::string("[default]\n") + setting;
    try {
      url();
      ADD_FAILURE() << setting;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kUnsupported);
    }
    EXPECT_EQ(url("http://h"), "http://h");
    variables_["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true";
    EXPECT_EQ(url(), "https://s3.eu-west-1.amazonaws.com");
  }
}

}  // namespace
}  // namespace ferry::s3
