#include "aws/credentials.h"

#include <gtest/gtest.h>

#include <map>

#include "aws/test_http.h"
#include "base/error.h"

namespace ferry::aws {
namespace {

using base::Error;
using base::ErrorKind;

constexpr base::UnixMicros kNow = 1440938160000000;  // 2015-08-30T12:36:00Z
constexpr std::string_view kEndsIn =
    R"({"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"geheim","Token":"token",)"
    R"("Expiration":"2015-08-30T13:36:00Z"})";

class CredentialChain : public testing::Test {
 protected:
  std::unique_ptr<CredentialSource> chain() {
    return make_credential_chain({.environment = environment(), .http = http_, .clock = clock_});
  }
  Environment environment() const {
    return {.variable = [this](const char* name) { return find(variables_, name); },
            .file = [this](const std::string& path) { return find(files_, path); }};
  }
  Credentials get() { return chain()->get({}); }
  ErrorKind error_kind() {
    try {
      get();
      return ErrorKind::kInternal;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("geheim"), std::string::npos) << error.what();
      return error.kind();
    }
  }

  static std::optional<std::string> find(const std::map<std::string, std::string>& all,
                                         const std::string& name) {
    auto found = all.find(name);
    return found == all.end() ? std::nullopt : std::optional(found->second);
  }

  std::map<std::string, std::string> variables_{{"HOME", "/home"}};
  std::map<std::string, std::string> files_;
  std::shared_ptr<ScriptedHttp> http_ = std::make_shared<ScriptedHttp>();
  SkippingClock clock_{kNow};
};

TEST_F(CredentialChain, TakesTheEnvironmentFirst) {
  variables_.insert(
      {{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "geheim"}, {"AWS_SESSION_TOKEN", "token"}});
  files_["/home/.aws/credentials"] = "[default]\naws_access_key_id=other\naws_secret_access_key=other\n";
  Credentials found = get();
  EXPECT_EQ(found.access_key_id, "AKIA1");
  EXPECT_EQ(found.secret_access_key.reveal(), "geheim");
  EXPECT_EQ(found.session_token.reveal(), "token");
  EXPECT_FALSE(found.expires);
}

TEST_F(CredentialChain, HalfAPairIsAMistake) {
  variables_["AWS_SECRET_ACCESS_KEY"] = "geheim";
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication);
}

TEST_F(CredentialChain, ThenTheProfile) {
  files_["/home/.aws/credentials"] =
      "# keys\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key = geheim # mine\n\n"
      "[work]\naws_access_key_id = AKIA2\naws_secret_access_key = secret2\naws_session_token=token2\n";
  files_["/home/.aws/config"] =
      "[default]\nregion = eu-west-1\ns3 =\n  addressing_style = path\n[profile  work]\nregion=eu-central-1\n"
      "[sso-session x]\nregion=no\n";
  EXPECT_EQ(get().access_key_id, "AKIA1");
  EXPECT_EQ(get().secret_access_key.reveal(), "geheim");
  EXPECT_EQ(environment().region(), "eu-west-1");
  variables_["AWS_PROFILE"] = "work";
  EXPECT_EQ(get().access_key_id, "AKIA2");
  EXPECT_EQ(get().session_token.reveal(), "token2");
  EXPECT_EQ(environment().region(), "eu-central-1");
  variables_["AWS_DEFAULT_REGION"] = "us-west-2";
  EXPECT_EQ(environment().region(), "us-west-2");
}

TEST_F(CredentialChain, KeysMayBeInTheConfigFileAndFilesElsewhere) {
  variables_["AWS_CONFIG_FILE"] = "/c";
  variables_["AWS_SHARED_CREDENTIALS_FILE"] = "/s";
  files_["/c"] = "[default]\naws_access_key_id=AKIA1\naws_secret_access_key=geheim\n";
  EXPECT_EQ(get().access_key_id, "AKIA1");
  files_["/s"] = "[default]\naws_access_key_id=AKIA2\naws_secret_access_key=geheim\n";
  EXPECT_EQ(get().access_key_id, "AKIA2");
}

TEST_F(CredentialChain, AProfileThatIsNotThereOrCannotBeUsedIsAMistake) {
  variables_["AWS_PROFILE"] = "nobody";
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication);
  files_["/home/.aws/credentials"] = "[nobody]\naws_access_key_id=AKIA1\n";
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication);
  files_["/home/.aws/credentials"] = "[nobody]\nrole_arn=arn\nsource_profile=default\n";
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication);
  EXPECT_TRUE(http_->sent.empty());
}

TEST_F(CredentialChain, ThenTheContainersEndpoint) {
  variables_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/17?a=b";
  http_->answer(200, std::string(kEndsIn));
  Credentials found = get();
  EXPECT_EQ(found.access_key_id, "ASIA1");
  EXPECT_EQ(found.expires, kNow + 3600000000);
  EXPECT_EQ(http_->sent[0].request.address.url(), "http://169.254.170.2");
  EXPECT_EQ(http_->sent[0].request.path, "/v2/credentials/17");
  EXPECT_EQ(http_->sent[0].query(), "a=b");
}

TEST_F(CredentialChain, TheContainersTokenMayBeInAFile) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:81/keys";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/token";
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication);
  files_["/token"] = "a token\n";
  http_->answer(200, std::string(kEndsIn));
  get();
  EXPECT_EQ(http_->sent[0].header("authorization"), "a token");
}

TEST_F(CredentialChain, ThenTheInstancesMetadata) {
  http_->answer(200, "metadata token");
  http_->answer(200, "writer\n");
  http_->answer(200, std::string(kEndsIn));
  EXPECT_EQ(get().session_token.reveal(), "token");
  EXPECT_EQ(http_->sent[0].request.method, "PUT");
  EXPECT_EQ(http_->sent[0].request.path, "/latest/api/token");
  EXPECT_EQ(http_->sent[2].request.path, "/latest/meta-data/iam/security-credentials/writer");
  EXPECT_EQ(http_->sent[2].header("x-aws-ec2-metadata-token"), "metadata token");
}

TEST_F(CredentialChain, WithoutAnyItSaysWhereItLooked) {
  http_->break_connection();
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication);
  variables_["AWS_EC2_METADATA_DISABLED"] = "true";
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication);
  EXPECT_EQ(http_->sent.size(), 1U);
}

TEST_F(CredentialChain, AnAnswerWithoutKeysIsRefusedAndNotShown) {
  for (const char* bad : {"", "geheim", "[1]", R"({"AccessKeyId":"geheim"})",
                          R"({"AccessKeyId":7,"SecretAccessKey":"geheim"})"}) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/";
    http_->answer(200, bad);
    EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication) << bad;
  }
  http_->answer(500);
  EXPECT_EQ(error_kind(), ErrorKind::kTargetUnreachable);
}

TEST_F(CredentialChain, FetchesAnewBeforeTheEnd) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/";
  auto source = chain();
  http_->answer(200, std::string(kEndsIn));
  source->get({});
  clock_.advance(std::chrono::minutes(54));
  source->get({});
  EXPECT_EQ(http_->sent.size(), 1U);
  clock_.advance(std::chrono::minutes(1));
  http_->answer(
      200,
      R"({"AccessKeyId":"ASIA2","SecretAccessKey":"s","Token":"t","Expiration":"2015-08-30T14:36:00Z"})");
  EXPECT_EQ(source->get({}).access_key_id, "ASIA2");
}

TEST_F(CredentialChain, BearsAFailedRefreshWhileTheOldOnesHold) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/";
  auto source = chain();
  http_->answer(200, std::string(kEndsIn));
  source->get({});
  clock_.advance(std::chrono::minutes(56));
  http_->break_connection();
  EXPECT_EQ(source->get({}).access_key_id, "ASIA1");
  EXPECT_EQ(source->get({}).access_key_id, "ASIA1") << "asked again at once";
  clock_.advance(std::chrono::minutes(5));
  http_->break_connection();
  EXPECT_THROW(source->get({}), Error);
}

TEST_F(CredentialChain, FetchesAnewWhatTheServiceCallsExpired) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/";
  auto source = chain();
  http_->answer(200, std::string(kEndsIn));
  http_->answer(200, std::string(kEndsIn));
  source->get({});
  source->expired();
  source->get({});
  EXPECT_EQ(http_->sent.size(), 2U);
}

TEST_F(CredentialChain, AssumesARole) {
  variables_.insert({{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "geheim"}});
  auto source = make_role_source({.role_arn = "arn:aws:iam::1:role/x",
                                  .session_name = "ferry",
                                  .endpoint = parse_service_url("https://sts.example"),
                                  .region = "eu-west-1"},
                                 chain(), http_, clock_);
  http_->answer(
      200,
      "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA9</AccessKeyId><SecretAccessKey>s"
      "</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2015-08-30T13:36:00Z</Expiration></"
      "Credentials>"
      "</AssumeRoleResult></AssumeRoleResponse>");
  Credentials found = source->get({});
  EXPECT_EQ(found.access_key_id, "ASIA9");
  EXPECT_EQ(found.expires, kNow + 3600000000);
  EXPECT_EQ(
      http_->sent[0].body,
      "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&RoleSessionName=ferry&Version=2011-06-15");
  EXPECT_NE(http_->sent[0].header("authorization").find("Credential=AKIA1/20150830/eu-west-1/sts/"),
            std::string::npos);
}

TEST_F(CredentialChain, SaysWhyARoleIsNotGiven) {
  variables_.insert({{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "geheim"}});
  auto source = make_role_source(
      {.role_arn = "arn:x", .session_name = "f", .endpoint = parse_service_url("https://sts"), .region = "r"},
      chain(), http_, clock_);
  http_->answer(
      403,
      "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>");
  try {
    source->get({});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kTargetAuthentication);
    EXPECT_EQ(error.vendor_code(), "AccessDenied");
    EXPECT_NE(error.message().find("arn:x"), std::string::npos);
  }
}

}  // namespace
}  // namespace ferry::aws
