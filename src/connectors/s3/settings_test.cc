#include "connectors/s3/settings.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "model/ascii_text.h"

namespace ferry::s3 {
namespace {

using base::Error;
using base::ErrorKind;

S3TargetSettings settings_of(const std::string& url, const std::map<std::string, std::string>& given) {
  model::Endpoint endpoint;
  endpoint.engine_name = "s3";
  endpoint.endpoint_url = url;
  for (const auto& [name, value] : given)
    endpoint.settings[model::to_lower(name)] = {.name = name, .value = value};
  return parse_target_settings(endpoint);
}

ErrorKind refusal_of(const std::string& url, const std::map<std::string, std::string>& given) {
  try {
    settings_of(url, given);
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << url << " is not refused";
  return ErrorKind::kInternal;
}

TEST(S3TargetSettings, AUrlOfFilesIsADirectoryAndAnyOtherABucket) {
  S3TargetSettings folder = settings_of("file:///data", {{"BucketName", "lake"}});
  EXPECT_EQ(folder.directory, "/data/lake");
  EXPECT_FALSE(folder.bucket);
  for (std::string url : {"", "http://127.0.0.1:9000", "https://minio.example"}) {
    S3TargetSettings bucket = settings_of(url, {{"BucketName", "lake"}, {"BucketFolder", "/raw//x"}});
    ASSERT_TRUE(bucket.bucket);
    EXPECT_EQ(bucket.bucket->name, "lake");
    EXPECT_EQ(bucket.bucket->endpoint_url, url);
    EXPECT_EQ(bucket.folder, "raw/x/");
    EXPECT_FALSE(bucket.bucket->style);
  }
}

TEST(S3TargetSettings, RefusesWhatIsNoPlace) {
  EXPECT_EQ(refusal_of("ftp://h", {{"BucketName", "lake"}}), ErrorKind::kUnsupported);
  EXPECT_EQ(refusal_of("file://relative", {}), ErrorKind::kUnsupported);
  EXPECT_EQ(refusal_of("http://user@h", {{"BucketName", "lake"}}), ErrorKind::kDocumentInvalid);
  EXPECT_EQ(refusal_of("http://h", {}), ErrorKind::kDocumentInvalid);
  for (const char* bad : {"lake/raw", "lake\n", "la%6be", "[lake]", "l\u00e4ke", ".."})
    EXPECT_EQ(refusal_of("http://h", {{"BucketName", bad}}), ErrorKind::kDocumentInvalid) << bad;
  EXPECT_EQ(refusal_of("http://h", {{"BucketName", "lake"}, {"ExpectedBucketOwner", "1\r\nx: y"}}),
            ErrorKind::kDocumentInvalid);
  EXPECT_EQ(refusal_of("http://h", {{"BucketName", "lake"}, {"BucketFolder", "../x"}}),
            ErrorKind::kDocumentInvalid);
}

TEST(S3TargetSettings, EncryptionIsDefaultUntilItIsNamed) {
  aws::ObjectAttributes unnamed = settings_of("", {{"BucketName", "lake"}}).bucket->attributes;
  EXPECT_EQ(unnamed.encryption, "AES256");
  EXPECT_TRUE(unnamed.encryption_may_be_left_out);
  EXPECT_EQ(unnamed.canned_acl, "");
  aws::ObjectAttributes named =
      settings_of("", {{"BucketName", "lake"}, {"EncryptionMode", "SSE_S3"}}).bucket->attributes;
  EXPECT_EQ(named.encryption, "AES256");
  EXPECT_FALSE(named.encryption_may_be_left_out);
}

TEST(S3TargetSettings, ReadsWhatEveryObjectGets) {
  BucketSettings bucket = *settings_of("", {{"BucketName", "lake"},
                                            {"EncryptionMode", "sse-kms"},
                                            {"ServerSideEncryptionKmsKeyId", "arn:key"},
                                            {"CannedAclForObjects", "BUCKET_OWNER_FULL_CONTROL"},
                                            {"ExpectedBucketOwner", "111122223333"},
                                            {"ServiceAccessRoleArn", "arn:role"},
                                            {"s3AddressingStyle", "virtual"}})
                               .bucket;
  EXPECT_EQ(bucket.attributes.encryption, "aws:kms");
  EXPECT_EQ(bucket.attributes.kms_key_id, "arn:key");
  EXPECT_FALSE(bucket.attributes.encryption_may_be_left_out);
  EXPECT_EQ(bucket.attributes.canned_acl, "bucket-owner-full-control");
  EXPECT_EQ(bucket.expected_bucket_owner, "111122223333");
  EXPECT_EQ(bucket.service_access_role_arn, "arn:role");
  EXPECT_EQ(bucket.style, aws::BucketStyle::kVirtualHost);
}

TEST(S3TargetSettings, RefusesHalfOfAKeysEncryption) {
  EXPECT_EQ(refusal_of("", {{"BucketName", "lake"}, {"EncryptionMode", "sse-kms"}}),
            ErrorKind::kSettingConflict);
  EXPECT_EQ(refusal_of("", {{"BucketName", "lake"}, {"ServerSideEncryptionKmsKeyId", "arn:key"}}),
            ErrorKind::kSettingConflict);
  EXPECT_EQ(refusal_of("file:///data",
                       {{"EncryptionMode", "sse-kms"}, {"ServerSideEncryptionKmsKeyId", "arn:key"}}),
            ErrorKind::kSettingConflict);
}

TEST(S3TargetSettings, PreservedTransactionsNeedAFolderAndNothingBeside) {
  std::map<std::string, std::string> given = {{"BucketFolder", "raw"}, {"PreserveTransactions", "true"}};
  EXPECT_EQ(refusal_of("file:///data", given), ErrorKind::kSettingConflict);
  given["CdcPath"] = "undefined";
  EXPECT_EQ(refusal_of("file:///data", given), ErrorKind::kSettingConflict);
  given["CdcPath"] = "../tx";
  EXPECT_EQ(refusal_of("file:///data", given), ErrorKind::kDocumentInvalid);
  given["CdcPath"] = "/tx/";
  EXPECT_EQ(settings_of("file:///data", given).transactions_folder, "raw/tx/");
  for (const char* other : {"DatePartitionEnabled", "AddColumnName", "GlueCatalogGeneration"}) {
    auto both = given;
    both[other] = "true";
    EXPECT_EQ(refusal_of("file:///data", both), ErrorKind::kSettingConflict) << other;
  }
  // Without PreserveTransactions the folder has no effect.
  given["PreserveTransactions"] = "false";
  given["AddColumnName"] = "true";
  EXPECT_FALSE(settings_of("file:///data", given).preserves_transactions());
}

}  // namespace
}  // namespace ferry::s3
