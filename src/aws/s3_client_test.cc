#include "aws/s3_client.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "aws/test_http.h"
#include "base/error.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;

constexpr base::UnixMicros kNow = 1440938160000000;  // 2015-08-30T12:36:00Z

class KnownKeys final : public CredentialSource {
 public:
  Credentials get(std::stop_token) override {
    return {.access_key_id = "AKIA" + std::to_string(generation),
            .secret_access_key = base::Secret("geheim")};
  }
  void expired(const std::string& access_key_id) override {
    EXPECT_EQ(access_key_id, "AKIA" + std::to_string(generation));
    ++generation;
  }

  int generation = 1;
};

class S3ClientTest : public testing::Test {
 protected:
  S3Client& client() {
    if (!client_) {
      client_ = std::make_unique<S3Client>(
          S3Client::Parts{.bucket = locate_bucket("http://h:9000", "lake", "us-east-1", {}),
                          .attributes = attributes_,
                          .expected_bucket_owner = owner_,
                          .http = http_,
                          .credentials = keys_,
                          .clock = clock_,
                          .stop = stop_.get_token()});
    }
    return *client_;
  }
  // A client that has had an answer.
  S3Client& known_client() {
    http_->answer(204);
    client().delete_object("x");
    http_->sent.clear();
    return client();
  }
  template <typename Work>
  Error error_of(Work work) {
    try {
      work();
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("geheim"), std::string::npos);
      return error;
    }
    ADD_FAILURE() << "no error";
    return Error(ErrorKind::kInternal, "none");
  }

  ObjectAttributes attributes_;
  std::string owner_;
  std::shared_ptr<ScriptedHttp> http_ = std::make_shared<ScriptedHttp>();
  std::shared_ptr<KnownKeys> keys_ = std::make_shared<KnownKeys>();
  SkippingClock clock_{kNow};
  std::stop_source stop_;
  std::unique_ptr<S3Client> client_;
};

TEST(LocateBucket, ChoosesTheStyle) {
  auto place = [](const char* url, const char* bucket, std::optional<BucketStyle> style = {}) {
    Bucket located = locate_bucket(url, bucket, "eu-west-1", style);
    return located.address.url() + located.base_path;
  };
  EXPECT_EQ(place("", "lake"), "https://lake.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(place("", "my.lake"), "https://s3.eu-west-1.amazonaws.com/my.lake");
  EXPECT_EQ(place("https://s3.us-east-2.amazonaws.com", "lake"), "https://lake.s3.us-east-2.amazonaws.com");
  EXPECT_EQ(place("http://127.0.0.1:9000", "lake"), "http://127.0.0.1:9000/lake");
  EXPECT_EQ(place("https://minio.example/s3/", "lake"), "https://minio.example/s3/lake");
  EXPECT_EQ(place("https://lake.minio.example", "lake"), "https://lake.minio.example");
  EXPECT_EQ(place("https://minio.example", "lake", BucketStyle::kVirtualHost), "https://lake.minio.example");
  EXPECT_EQ(place("https://lake.minio.example", "lake", BucketStyle::kVirtualHost),
            "https://lake.minio.example");
  EXPECT_EQ(place("https://s3.us-east-2.amazonaws.com", "lake", BucketStyle::kPath),
            "https://s3.us-east-2.amazonaws.com/lake");
  EXPECT_EQ(locate_bucket("", "lake", "cn-north-1", {}).address.host, "lake.s3.cn-north-1.amazonaws.com.cn");
}

TEST_F(S3ClientTest, SendsEveryAttributeWithNewObjectsOnly) {
  attributes_ = {.encryption = "aws:kms", .kms_key_id = "arn:key", .canned_acl = "bucket-owner-full-control"};
  owner_ = "111122223333";
  http_->answer(200);
  http_->answer(200,
                "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>");
  http_->answer(200, "", {{"etag", "\"e1\""}});
  http_->answer(200, "<CompleteMultipartUploadResult/>");
  client().put_object("a b/ä", "bytes");
  std::string id = client().create_multipart_upload("k").id;
  UploadedPart part = client().upload_part("k", id, 1, "part");
  client().complete_multipart_upload("k", id, {part}, 4);
  for (std::size_t i : {0U, 1U}) {
    EXPECT_EQ(http_->sent[i].header("x-amz-server-side-encryption"), "aws:kms");
    EXPECT_EQ(http_->sent[i].header("x-amz-server-side-encryption-aws-kms-key-id"), "arn:key");
    EXPECT_EQ(http_->sent[i].header("x-amz-acl"), "bucket-owner-full-control");
  }
  for (std::size_t i : {2U, 3U}) EXPECT_EQ(http_->sent[i].header("x-amz-server-side-encryption"), "");
  for (const auto& sent : http_->sent) EXPECT_EQ(sent.header("x-amz-expected-bucket-owner"), "111122223333");
  EXPECT_EQ(encoded_path(http_->sent[0].request), "/lake/a%20b/%C3%A4");
  EXPECT_EQ(http_->sent[0].body, "bytes");
  EXPECT_EQ(http_->sent[0].header("x-amz-content-sha256"), sha256_hex("bytes"));
  EXPECT_EQ(http_->sent[2].query(), "partNumber=1&uploadId=u1");
  EXPECT_NE(http_->sent[3].body.find("<PartNumber>1</PartNumber><ETag>&quot;e1&quot;</ETag>"),
            std::string::npos);
}

TEST_F(S3ClientTest, TriesAgainWhatMayPass) {
  http_->answer_error(503, "SlowDown");
  http_->answer(502, "<html>");
  http_->break_connection();
  http_->answer_error(400, "RequestTimeout");
  http_->answer(429);
  http_->answer_error(400, "BadDigest");
  http_->answer(520);
  http_->answer(200);
  client().put_object("k", "bytes");
  EXPECT_EQ(http_->sent.size(), 8U);
  for (const auto& sent : http_->sent) EXPECT_EQ(sent.body, "bytes");
  ASSERT_EQ(clock_.waits.size(), 7U);
  std::int64_t whole = 100;
  for (auto wait : clock_.waits) {
    EXPECT_GE(wait.count(), whole / 2);
    EXPECT_LE(wait.count(), whole);
    whole *= 2;
  }
}

TEST_F(S3ClientTest, GivesUpAtTheEndOfTheSchedule) {
  S3Client& known = known_client();
  for (int i = 0; i < 10; ++i) http_->answer_error(503, "SlowDown");
  Error error = error_of([&] { known.put_object("k", ""); });
  EXPECT_EQ(error.kind(), ErrorKind::kTargetUnreachable);
  EXPECT_EQ(error.vendor_code(), "SlowDown");
  EXPECT_TRUE(http_->done());
}

TEST_F(S3ClientTest, FindsOutAWrongAddressQuickly) {
  for (int i = 0; i < 3; ++i) http_->break_connection();
  EXPECT_EQ(error_of([&] { client().put_object("k", ""); }).kind(), ErrorKind::kTargetUnreachable);
  EXPECT_EQ(http_->sent.size(), 3U);
}

TEST_F(S3ClientTest, AStopEndsTheWaits) {
  S3Client& known = known_client();
  stop_.request_stop();
  http_->answer_error(503, "SlowDown");
  EXPECT_EQ(error_of([&] { known.put_object("k", ""); }).kind(), ErrorKind::kTargetUnreachable);
  EXPECT_EQ(http_->sent.size(), 1U);
}

TEST_F(S3ClientTest, CorrectsItsClockOnce) {
  http_->answer_error(403, "RequestTimeTooSkewed", {{"date", "Sun, 30 Aug 2015 14:36:00 GMT"}});
  http_->answer(200);
  http_->answer(200);
  client().put_object("k", "");
  client().put_object("k", "");
  EXPECT_EQ(http_->sent[0].header("x-amz-date"), "20150830T123600Z");
  EXPECT_EQ(http_->sent[1].header("x-amz-date"), "20150830T143600Z");
  EXPECT_EQ(http_->sent[2].header("x-amz-date"), "20150830T143600Z");
  EXPECT_TRUE(clock_.waits.empty());

  http_->answer_error(403, "RequestTimeTooSkewed", {{"date", "Sun, 30 Aug 2015 16:36:00 GMT"}});
  http_->answer_error(403, "RequestTimeTooSkewed", {{"date", "Sun, 30 Aug 2015 18:36:00 GMT"}});
  EXPECT_EQ(error_of([&] { client().put_object("k", ""); }).kind(), ErrorKind::kTargetConfiguration);
}

TEST_F(S3ClientTest, SaysOnceThatClocksDiffer) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 2; ++i) {
    http_->answer_error(403, "RequestTimeTooSkewed", {{"date", "Sun, 30 Aug 2015 14:36:00 GMT"}});
    http_->answer(200);
    client().put_object("k", "");
  }
  std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("differ by 7200 s"), std::string::npos) << log;
  EXPECT_EQ(log.find("differ by"), log.rfind("differ by")) << log;
}

TEST_F(S3ClientTest, FetchesCredentialsAnewWhenTheyHaveExpired) {
  http_->answer_error(400, "ExpiredToken");
  http_->answer(200);
  client().put_object("k", "");
  EXPECT_NE(http_->sent[1].header("authorization").find("AKIA2"), std::string::npos);
  http_->answer_error(400, "ExpiredToken");
  http_->answer_error(400, "ExpiredToken");
  EXPECT_EQ(error_of([&] { client().put_object("k", ""); }).kind(), ErrorKind::kTargetAuthentication);
}

TEST_F(S3ClientTest, LeavesOutEncryptionThatNobodyNamed) {
  attributes_ = {.encryption = "AES256", .encryption_may_be_left_out = true};
  http_->answer_error(501, "NotImplemented");
  http_->answer(200);
  http_->answer(200);
  client().put_object("k", "bytes");
  client().put_object("k", "bytes");
  EXPECT_EQ(http_->sent[0].header("x-amz-server-side-encryption"), "AES256");
  EXPECT_EQ(http_->sent[1].header("x-amz-server-side-encryption"), "");
  EXPECT_EQ(http_->sent[2].header("x-amz-server-side-encryption"), "");
}

TEST_F(S3ClientTest, KeepsEncryptionThatWasNamedAndForOtherRefusals) {
  attributes_ = {.encryption = "AES256"};
  http_->answer_error(501, "NotImplemented");
  EXPECT_EQ(error_of([&] { client().put_object("k", ""); }).kind(), ErrorKind::kTargetUnwritable);
  client_.reset();
  attributes_.encryption_may_be_left_out = true;
  http_->answer_error(403, "AccessDenied");
  EXPECT_EQ(error_of([&] { client().put_object("k", ""); }).kind(), ErrorKind::kTargetPrivilege);
  // Of the object, not of a header.
  http_->answer_error(400, "EntityTooLarge");
  EXPECT_EQ(error_of([&] { client().put_object("k", ""); }).kind(), ErrorKind::kTargetUnwritable);
  EXPECT_EQ(http_->sent.size(), 3U);
}

// What AWS says, and what MinIO says.
TEST_F(S3ClientTest, SendsAnMd5ToABucketThatWantsOne) {
  for (const char* message :
       {"Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests "
        "with Object Lock parameters",
        "Missing required header for this request: Content-Md5."}) {
    client_.reset();
    http_->sent.clear();
    http_->answer(400,
                  fmt::format("<Error><Code>InvalidRequest</Code><Message>{}</Message></Error>", message));
    for (int i = 0; i < 2; ++i) http_->answer(200);
    client().put_object("k", "bytes");
    client().upload_part("k", "u", 1, "bytes");
    ASSERT_EQ(http_->sent.size(), 3U);
    EXPECT_EQ(http_->sent[0].header("content-md5"), "");
    EXPECT_EQ(http_->sent[1].header("content-md5"), "SzpiGLs+OnMD6KFxpg/Pkg==");
    EXPECT_EQ(http_->sent[2].header("content-md5"), "SzpiGLs+OnMD6KFxpg/Pkg==");
  }
  EXPECT_TRUE(clock_.waits.empty());
}

TEST_F(S3ClientTest, CompletingMayFailBehindAGoodStatus) {
  http_->answer_error(200, "InternalError");
  http_->answer(200, "<CompleteMultipartUploadResult/>");
  http_->answer(200, "<ListBucketResult><Contents><Key>k</Key><Size>4</Size></Contents></ListBucketResult>");
  client().complete_multipart_upload("k", "u", {{1, "e"}}, 4);
  EXPECT_TRUE(http_->done());
  auto kind_behind_200 = [&](const char* code) {
    http_->answer_error(200, code);
    return error_of([&] { client().complete_multipart_upload("k", "u", {{1, "e"}}, 4); }).kind();
  };
  EXPECT_EQ(kind_behind_200("AccessDenied"), ErrorKind::kTargetPrivilege);
  EXPECT_EQ(kind_behind_200("NoSuchUpload"), ErrorKind::kTargetUnreachable);
  EXPECT_TRUE(http_->done());
}

TEST_F(S3ClientTest, CompletingIsBelievedInItsOwnWordsOnly) {
  for (const char* body : {"", "<CompleteMultipartUploadResult><Key>k</Key>", "<html><p>Welcome</p></html>",
                           "<Error><Message>no code</Message></Error>"}) {
    http_->answer(200, body);
    http_->answer(200, "<CompleteMultipartUploadResult/>");
    http_->answer(200,
                  "<ListBucketResult><Contents><Key>k</Key><Size>4</Size></Contents></ListBucketResult>");
    client().complete_multipart_upload("k", "u", {{1, "e"}}, 4);
    EXPECT_TRUE(http_->done()) << body;
  }
  // What keeps a connection open may come first.
  http_->answer(200, " \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult/>");
  client().complete_multipart_upload("k", "u", {{1, "e"}}, 4);
  EXPECT_TRUE(http_->done());
}

TEST_F(S3ClientTest, TriesAgainWhatFailsBehindAGoodStatus) {
  const std::string made =
      "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
  http_->answer_error(200, "SlowDownWrite");
  http_->answer(200, made.substr(0, 60));
  http_->answer(200, made);
  EXPECT_FALSE(client().create_multipart_upload("k").is_only);
  http_->answer_error(200, "XMinioServerNotInitialized");
  http_->answer(200, "<ListBucketResult><Contents>");
  http_->answer(200, "<ListBucketResult/>");
  EXPECT_TRUE(client().list_objects("").empty());
  EXPECT_TRUE(http_->done());
}

TEST_F(S3ClientTest, KnowsAnUploadWhoseCompletionWasNotAnswered) {
  auto complete_again = [&](bool claims_success, const std::string& listed) {
    http_->break_connection();
    if (claims_success) http_->answer(200, "<CompleteMultipartUploadResult/>");
    if (!claims_success) http_->answer_error(404, "NoSuchUpload");
    http_->answer(200, "<ListBucketResult>" + listed + "</ListBucketResult>");
    client().complete_multipart_upload("k", "u", {{1, "e"}}, 4);
  };
  for (bool claims_success : {false, true}) {
    complete_again(claims_success, "<Contents><Key>k</Key><Size>4</Size></Contents>");
    for (const char* other : {"", "<Contents><Key>k</Key><Size>5</Size></Contents>",
                              "<Contents><Key>k2</Key><Size>4</Size></Contents>"}) {
      EXPECT_EQ(error_of([&] { complete_again(claims_success, other); }).kind(),
                ErrorKind::kTargetUnreachable)
          << other;
    }
  }
  // Another refusal of a repeated attempt does not tell either.
  for (bool is_there : {true, false}) {
    http_->break_connection();
    http_->answer_error(400, "InvalidPart");
    http_->answer(200, is_there ? "<ListBucketResult><Contents><Key>k</Key><Size>4</Size></Contents>"
                                  "</ListBucketResult>"
                                : "<ListBucketResult/>");
    auto complete = [&] { client().complete_multipart_upload("k", "u", {{1, "e"}}, 4); };
    if (is_there) {
      EXPECT_NO_THROW(complete());
    } else {
      EXPECT_EQ(error_of(complete).vendor_code(), "InvalidPart");
    }
    EXPECT_TRUE(http_->done());
  }
  // Without a lost answer it was never written.
  http_->answer_error(404, "NoSuchUpload");
  EXPECT_EQ(error_of([&] { client().complete_multipart_upload("k", "u", {{1, "e"}}, 4); }).kind(),
            ErrorKind::kTargetUnreachable);
}

TEST_F(S3ClientTest, KnowsWhenAnotherUploadMayHaveBegun) {
  const std::string made =
      "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
  http_->answer(200, made);
  EXPECT_TRUE(client().create_multipart_upload("k").is_only);
  http_->break_connection();
  http_->answer(200, made);
  EXPECT_FALSE(client().create_multipart_upload("k").is_only);
  http_->answer(200, "<InitiateMultipartUploadResult/>");
  EXPECT_EQ(error_of([&] { client().create_multipart_upload("k"); }).kind(), ErrorKind::kTargetUnwritable);
}

TEST_F(S3ClientTest, WhatIsGoneIsNoErrorToRemove) {
  http_->answer_error(404, "NoSuchKey");
  http_->answer_error(404, "NoSuchUpload");
  client().delete_object("k");
  client().abort_multipart_upload("k", "u");
  http_->answer_error(404, "NoSuchBucket");
  EXPECT_EQ(error_of([&] { client().delete_object("k"); }).kind(), ErrorKind::kTargetConfiguration);
}

TEST_F(S3ClientTest, ListsEveryPage) {
  http_->answer(200,
                "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1</"
                "NextContinuationToken>"
                "<Contents><Key>p/1</Key></Contents></ListBucketResult>");
  http_->answer(200, "<ListBucketResult><Contents><Key>p/2</Key></Contents></ListBucketResult>");
  EXPECT_EQ(client().list_objects("p/").size(), 2U);
  EXPECT_EQ(http_->sent[1].query(),
            "continuation-token=t%261&encoding-type=url&list-type=2&max-keys=1000&prefix=p%2F");
  EXPECT_EQ(http_->sent[1].request.path, "/lake/");

  http_->answer(
      200,
      "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>p/1</NextKeyMarker>"
      "<NextUploadIdMarker>u1</NextUploadIdMarker><Upload><Key>p/1</Key><UploadId>u1</UploadId></Upload>"
      "</ListMultipartUploadsResult>");
  http_->answer(200,
                "<ListMultipartUploadsResult><Upload><Key>q</Key><UploadId>u3</UploadId></"
                "Upload><Upload><Key>p/2</Key><UploadId>u2</UploadId></Upload></"
                "ListMultipartUploadsResult>");
  EXPECT_EQ(client().list_multipart_uploads("p/").size(), 2U);
  EXPECT_EQ(http_->sent[3].query(), "encoding-type=url&key-marker=p%2F1&upload-id-marker=u1&uploads=");
}

TEST_F(S3ClientTest, AsksAwsForTheUploadsBelowAPrefixOnly) {
  S3Client aws({.bucket = locate_bucket("", "lake", "eu-west-1", {}),
                .attributes = {},
                .http = http_,
                .credentials = keys_,
                .clock = clock_});
  http_->answer(200, "<ListMultipartUploadsResult/>");
  EXPECT_TRUE(aws.list_multipart_uploads("p/").empty());
  EXPECT_EQ(http_->sent[0].query(), "encoding-type=url&prefix=p%2F&uploads=");
}

TEST_F(S3ClientTest, RefusesAListingThatDoesNotMoveOn) {
  const std::string page =
      "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
      "</ListBucketResult>";
  http_->answer(200, page);
  http_->answer(200, page);
  EXPECT_EQ(error_of([&] { client().list_objects("p/"); }).kind(), ErrorKind::kTargetUnwritable);

  for (const char* token : {"a", "b", "a"}) {
    http_->answer(200,
                  fmt::format("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{}"
                              "</NextContinuationToken></ListBucketResult>",
                              token));
  }
  EXPECT_EQ(error_of([&] { client().list_objects("p/"); }).kind(), ErrorKind::kTargetUnwritable);
  for (const char* key : {"a", "b", "a"}) {
    http_->answer(200,
                  fmt::format("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>{}"
                              "</NextKeyMarker></ListMultipartUploadsResult>",
                              key));
  }
  EXPECT_TRUE(client().list_multipart_uploads("p/").empty());
}

TEST_F(S3ClientTest, RefusesAListingOfKeysThatNobodyAskedFor) {
  http_->answer(200,
                "<ListBucketResult><Contents><Key>p/1</Key></Contents><Contents><Key>q</Key></Contents>"
                "</ListBucketResult>");
  EXPECT_EQ(error_of([&] { client().list_objects("p/"); }).kind(), ErrorKind::kTargetUnwritable);
}

TEST_F(S3ClientTest, TagsAnObjectWithTheRequestThatMakesIt) {
  http_->answer(200);
  http_->answer(200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
  http_->answer(200);
  const NameValues tags = {{"a&b", "c d"}, {"e", ""}};
  client().put_object("k", "", tags);
  client().create_multipart_upload("k", tags);
  client().put_object("k", "");
  for (std::size_t i : {0U, 1U}) EXPECT_EQ(http_->sent[i].header("x-amz-tagging"), "a%26b=c%20d&e=");
  EXPECT_EQ(http_->sent[2].header("x-amz-tagging"), "");
}

TEST_F(S3ClientTest, TellsEachRefusal) {
  struct Case {
    int status;
    const char* code;
    ErrorKind kind;
    const char* said;
  };
  for (const Case& each : {Case{403, "InvalidAccessKeyId", ErrorKind::kTargetAuthentication, "access key"},
                           Case{403, "SignatureDoesNotMatch", ErrorKind::kTargetAuthentication, "access key"},
                           Case{403, "AccessDenied", ErrorKind::kTargetPrivilege, "s3:PutObject"},
                           Case{403, "", ErrorKind::kTargetPrivilege, "s3:PutObject"},
                           Case{404, "NoSuchBucket", ErrorKind::kTargetConfiguration, "Make the bucket"},
                           Case{507, "XMinioStorageFull", ErrorKind::kTargetFull, "Free space"},
                           Case{507, "", ErrorKind::kTargetFull, "Free space"},
                           Case{400, "InvalidArgument", ErrorKind::kTargetUnwritable, "PutObject"}}) {
    http_->answer_error(each.status, each.code);
    Error error = error_of([&] { client().put_object("k", ""); });
    EXPECT_EQ(error.kind(), each.kind) << each.code;
    EXPECT_NE(std::string(error.what()).find(each.said), std::string::npos) << error.what();
    EXPECT_NE(error.message().find("s3://lake at http://h:9000"), std::string::npos) << error.what();
  }
}

TEST_F(S3ClientTest, TellsTheRegionOfARedirect) {
  http_->answer_error(301, "PermanentRedirect", {{"x-amz-bucket-region", "eu-central-1"}});
  Error error = error_of([&] { client().list_objects(""); });
  EXPECT_EQ(error.kind(), ErrorKind::kTargetConfiguration);
  EXPECT_NE(error.remedy().find("eu-central-1"), std::string::npos) << error.remedy();
  http_->answer(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>");
  EXPECT_NE(error_of([&] { client().list_objects(""); }).remedy().find("eu-west-3"), std::string::npos);
}

}  // namespace
}  // namespace ferry::aws
