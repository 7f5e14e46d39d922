#include "aws/signature.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ferry::aws {
namespace {

std::string header(const HttpRequest& request, std::string_view name) {
  for (const auto& [each, value] : request.headers) {
    if (each == name) return value;
  }
  return {};
}

std::string signature_of(const HttpRequest& request) {
  std::string text = header(request, "authorization");
  return text.substr(text.rfind('=') + 1);
}

// What AWS's signing test suite for Signature Version 4 gives for these requests: the names are those of its
// cases (github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4). Left out are those with a path that
// is normalised, which S3 does not do, and those with a header twice.
struct Vector {
  std::string name;
  HttpRequest request;
  std::string signature;
  std::string token = {};
};

std::vector<Vector> vectors() {
  const std::string unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  auto request = [](std::string method, std::string path, NameValues query = {}, NameValues headers = {},
                    std::string_view body = {}) {
    return HttpRequest{.method = std::move(method),
                       .address = {.tls = true, .host = "example.amazonaws.com"},
                       .path = std::move(path),
                       .query = std::move(query),
                       .headers = std::move(headers),
                       .body = body};
  };
  return {
      {"get-vanilla", request("GET", "/"),
       "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"get-utf8", request("GET", "/\u1234"),
       "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {"get-unreserved", request("GET", '/' + unreserved),
       "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
      {"get-space-unnormalized", request("GET", "/example space/"),
       "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
      {"get-slashes-unnormalized", request("GET", "//example//"),
       "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
      {"get-relative-unnormalized", request("GET", "/example/.."),
       "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"},
      {"get-vanilla-empty-query-key", request("GET", "/", {{"Param1", "value1"}}),
       "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
      {"get-vanilla-query-order-key-case", request("GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}),
       "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"get-vanilla-query-order-encoded",
       request("GET", "/", {{"Param-3", "Value3"}, {"Param", "Value2"}, {"\u1234", "Value1"}}),
       "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
      {"get-vanilla-query-unreserved", request("GET", "/", {{unreserved, unreserved}}),
       "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
      {"get-vanilla-utf8-query", request("GET", "/", {{"\u1234", "bar"}}),
       "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
      {"get-header-value-trim",
       request("GET", "/", {}, {{"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}}),
       "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
      {"get-vanilla-with-session-token", request("GET", "/"),
       "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
       "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"},
      {"post-vanilla", request("POST", "/"),
       "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
      {"post-header-key-sort", request("POST", "/", {}, {{"my-header1", "value1"}}),
       "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
      {"post-header-value-case", request("POST", "/", {}, {{"my-header1", "VALUE1"}}),
       "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
  };
}

TEST(Signature, IsThatOfAwssTestSuite) {
  const base::UnixMicros time = 1440938160000000;  // 2015-08-30T12:36:00Z
  for (Vector& each : vectors()) {
    Credentials credentials{.access_key_id = "AKIDEXAMPLE",
                            .secret_access_key = base::Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                            .session_token = base::Secret(each.token)};
    sign(each.request, credentials, {.region = "us-east-1", .service = "service"}, time);
    EXPECT_EQ(signature_of(each.request), each.signature) << each.name;
    EXPECT_EQ(header(each.request, "x-amz-date"), "20150830T123600Z");
  }
}

// The examples of the Amazon S3 API Reference, "Signature Calculations for the Authorization Header".
TEST(Signature, IsThatOfS3sExamples) {
  const base::UnixMicros time = 1369353600000000;  // 2013-05-24T00:00:00Z
  Credentials credentials{.access_key_id = "AKIAIOSFODNN7EXAMPLE",
                          .secret_access_key = base::Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")};
  HostAddress host{.tls = true, .host = "examplebucket.s3.amazonaws.com"};
  const std::string empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  EXPECT_EQ(sha256_hex(""), empty);

  HttpRequest get{.method = "GET", .address = host, .path = "/test.txt"};
  get.headers = {{"range", "bytes=0-9"}, {"x-amz-content-sha256", empty}};
  sign(get, credentials, {.region = "us-east-1", .service = "s3"}, time);
  EXPECT_EQ(signature_of(get), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");

  HttpRequest put{
      .method = "PUT", .address = host, .path = "/test$file.text", .body = "Welcome to Amazon S3."};
  put.headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                 {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                 {"x-amz-content-sha256", sha256_hex(put.body)}};
  sign(put, credentials, {.region = "us-east-1", .service = "s3"}, time);
  EXPECT_EQ(signature_of(put), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");

  HttpRequest lifecycle{.method = "GET", .address = host, .query = {{"lifecycle", ""}}};
  lifecycle.headers = {{"x-amz-content-sha256", empty}};
  sign(lifecycle, credentials, {.region = "us-east-1", .service = "s3"}, time);
  EXPECT_EQ(signature_of(lifecycle), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");

  HttpRequest list{.method = "GET", .address = host, .query = {{"prefix", "J"}, {"max-keys", "2"}}};
  list.headers = {{"x-amz-content-sha256", empty}};
  sign(list, credentials, {.region = "us-east-1", .service = "s3"}, time);
  EXPECT_EQ(signature_of(list), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(Signature, NeverHoldsTheSecret) {
  HttpRequest get{.method = "GET", .address = {.tls = true, .host = "h"}};
  sign(get, {.access_key_id = "id", .secret_access_key = base::Secret("geheim")},
       {.region = "r", .service = "s3"}, 0);
  for (const auto& [name, value] : get.headers) EXPECT_EQ(value.find("geheim"), std::string::npos) << name;
}

TEST(Signature, ReadsTheTimesThatAwsWrites) {
  EXPECT_EQ(parse_http_date("Sun, 30 Aug 2015 12:36:00 GMT"), 1440938160000000);
  EXPECT_EQ(parse_iso_time("2015-08-30T12:36:00Z"), 1440938160000000);
  EXPECT_EQ(parse_iso_time("2015-08-30T12:36:00.123Z"), 1440938160000000);
  EXPECT_FALSE(parse_http_date("yesterday"));
  EXPECT_FALSE(parse_iso_time(""));
}

TEST(ServiceUrl, IsReadAndRefused) {
  ServiceUrl url = parse_service_url("http://127.0.0.1:9000/base/");
  EXPECT_EQ(url.address, (HostAddress{.tls = false, .host = "127.0.0.1", .port = 9000}));
  EXPECT_EQ(url.path, "/base");
  EXPECT_EQ(parse_service_url("https://s3.example.com:443").address.authority(), "s3.example.com");
  EXPECT_EQ(parse_service_url("https://[::1]:9000").address.authority(), "[::1]:9000");
  for (const char* bad :
       {"", "s3.example.com", "ftp://h", "http://", "http://:80", "http://h:0", "http://h:99999",
        "http://h:x", "http://user:geheim@h", "http://h?x", "http://h#x", "http://[::1", "http://[::1]x"}) {
    EXPECT_ANY_THROW(parse_service_url(bad)) << bad;
  }
}

TEST(PercentEncoding, IsItsOwnInverse) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(percent_decoded(percent_encoded(all, Slash::kEncode)), all);
  EXPECT_EQ(percent_encoded("a b/c+ä", Slash::kKeep), "a%20b/c%2B%C3%A4");
  EXPECT_EQ(percent_decoded("a+b%zz%4"), "a b%zz%4");
}

}  // namespace
}  // namespace ferry::aws
