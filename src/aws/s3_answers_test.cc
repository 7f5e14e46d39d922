#include "aws/s3_answers.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace ferry::aws {
namespace {

// The forms of the Amazon S3 API Reference.
TEST(ObjectListing, ReadsKeysSizesAndTheNextPage) {
  ObjectListing listing = parse_object_listing(
      R"(<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
      <Name>lake</Name><Prefix>a</Prefix><KeyCount>2</KeyCount><EncodingType>url</EncodingType>
      <IsTruncated>true</IsTruncated><NextContinuationToken>1ueG&amp;cXL=</NextContinuationToken>
      <Contents><Key>a%2Fb+c%E2%82%AC</Key><Size>12345678901</Size><ETag>&quot;7f-2&quot;</ETag><Owner><ID>Key</ID></Owner></Contents>
      <Contents><Key>plain</Key><Size>0</Size></Contents>
      <CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes></ListBucketResult>)");
  ASSERT_EQ(listing.objects.size(), 2U);
  EXPECT_EQ(listing.objects[0].key, "a/b c\u20ac");
  EXPECT_EQ(listing.objects[0].size, 12345678901);
  EXPECT_EQ(listing.objects[1].key, "plain");
  EXPECT_TRUE(listing.truncated);
  EXPECT_EQ(listing.next_token, "1ueG&cXL=");
}

TEST(ObjectListing, RefusesWhatWouldPassForAnEmptyBucket) {
  EXPECT_TRUE(parse_object_listing("<ListBucketResult/>").objects.empty());
  EXPECT_THROW(parse_object_listing("<html><body>Welcome</body></html>"), base::Error);
  EXPECT_THROW(parse_object_listing("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
               base::Error);
}

TEST(ObjectListing, TakesKeysAsTheyAreWhereTheServiceDoesNotEncode) {
  EXPECT_EQ(
      parse_object_listing("<ListBucketResult><Contents><Key>a+b%41</Key></Contents></ListBucketResult>")
          .objects[0]
          .key,
      "a+b%41");
}

TEST(UploadListing, ReadsUploadsAndTheNextPage) {
  UploadListing listing = parse_upload_listing(
      R"(<ListMultipartUploadsResult><EncodingType>url</EncodingType><NextKeyMarker>a%2Fb</NextKeyMarker>
      <NextUploadIdMarker>17</NextUploadIdMarker><IsTruncated>true</IsTruncated>
      <Upload><Key>a%2Fb</Key><UploadId>17</UploadId><Initiator><ID>x</ID></Initiator></Upload></ListMultipartUploadsResult>)");
  ASSERT_EQ(listing.uploads.size(), 1U);
  EXPECT_EQ(listing.uploads[0].key, "a/b");
  EXPECT_EQ(listing.uploads[0].upload_id, "17");
  EXPECT_TRUE(listing.truncated);
  EXPECT_EQ(listing.next_key, "a/b");
  EXPECT_EQ(listing.next_upload_id, "17");
}

TEST(UploadListing, RefusesAnotherDocument) {
  EXPECT_TRUE(parse_upload_listing("<ListMultipartUploadsResult/>").uploads.empty());
  EXPECT_THROW(parse_upload_listing("<ListBucketResult/>"), base::Error);
}

TEST(ServiceError, IsCutWhereItIsLong) {
  // Two bytes each, the first of which is at an odd place.
  std::string long_text = "x";
  for (int i = 0; i < 10000; ++i) long_text += "\u00e4";
  ServiceError error =
      parse_error("<Error><Code>" + long_text + "</Code><Message>" + long_text + "</Message></Error>");
  EXPECT_EQ(error.message, long_text.substr(0, 499));
  EXPECT_LT(error.code.size(), 500U);
}

TEST(ServiceError, IsReadInBothForms) {
  ServiceError error = parse_error(
      "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-1</Region></"
      "Error>");
  EXPECT_EQ(error.code, "AuthorizationHeaderMalformed");
  EXPECT_EQ(error.message, "m");
  EXPECT_EQ(error.region, "eu-west-1");
  EXPECT_EQ(parse_error("<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>").code,
            "AccessDenied");
}

TEST(ServiceError, IsEmptyForAnythingElse) {
  for (const char* other :
       {"", "502 Bad Gateway", "<html><body>no</html>", "<Error><Code>x", "{\"Code\":1}"}) {
    EXPECT_EQ(parse_error(other).code, "") << other;
  }
}

TEST(Answers, RefusesWhatS3DoesNotSend) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "<a>";
  const std::string bomb =
      "<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b "
      "\"&a;&a;&a;\">]><ListBucketResult><Contents><Key>&b;</Key></Contents>"
      "</ListBucketResult>";
  for (const std::string& bad : {std::string("no xml"), std::string("<ListBucketResult>"), deep, bomb,
                                 std::string("<a/>") + std::string("<b/>")}) {
    try {
      parse_object_listing(bad);
      ADD_FAILURE() << bad.substr(0, 60);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kTargetUnwritable);
    }
    EXPECT_EQ(parse_error(bad).code, "");
  }
}

}  // namespace
}  // namespace ferry::aws
