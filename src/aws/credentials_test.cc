#include "aws/credentials.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

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

std::string keys(const std::string& id, const std::string& expiration) {
  return R"({"AccessKeyId":")" + id + R"(","SecretAccessKey":"geheim","Token":"t","Expiration":")" +
         expiration + "\"}";
}

std::string role_keys(const std::string& action, const std::string& id) {
  return "<" + action + "Response><" + action + "Result><Credentials><AccessKeyId>" + id +
         "</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
         "<Expiration>2015-08-30T13:36:00Z</Expiration></Credentials></" +
         action + "Result></" + action + "Response>";
}

std::string sts_error(const std::string& code) {
  return "<ErrorResponse><Error><Code>" + code + "</Code><Message>no</Message></Error></ErrorResponse>";
}

// Answers when it is let go.
class HeldHttp final : public Http {
 public:
  HttpResponse send(const HttpRequest&, std::stop_token) override {
    std::unique_lock lock(mutex_);
    asked_ = true;
    changed_.notify_all();
    EXPECT_TRUE(changed_.wait_for(lock, kDeadline, [&] { return !held_; }));
    return {.status = 200, .body = keys(id_, "2015-08-30T13:36:00Z")};
  }
  void hold(const std::string& id) {
    std::lock_guard lock(mutex_);
    id_ = id;
    held_ = true;
    asked_ = false;
  }
  void wait_until_asked() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kDeadline, [&] { return asked_; }));
  }
  void let_go() {
    std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }

 private:
  static constexpr std::chrono::seconds kDeadline{30};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string id_ = "ASIA1";
  bool asked_ = false;
  bool held_ = false;
};

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
  ErrorKind error_kind() { return error_kind(*chain()); }
  static ErrorKind error_kind(CredentialSource& source) {
    try {
      source.get({});
      return ErrorKind::kInternal;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find("geheim"), std::string::npos) << error.what();
      return error.kind();
    }
  }

  std::unique_ptr<CredentialSource> role(std::shared_ptr<CredentialSource> caller) {
    return make_role_source({.role_arn = "arn:x",
                             .session_name = "f",
                             .endpoint = parse_service_url("https://sts"),
                             .region = "r"},
                            std::move(caller), http_, clock_);
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

TEST_F(CredentialChain, KeysBesideARoleAreNotTheRoles) {
  const std::string with_keys = "[default]\naws_access_key_id=AKIA1\naws_secret_access_key=geheim\n";
  for (const char* other :
       {"role_arn=arn\nsource_profile=default\n", "sso_session=s\n", "sso_start_url=u\n"}) {
    files_["/home/.aws/credentials"] = with_keys + other;
    EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication) << other;
  }
  files_["/home/.aws/credentials"] = with_keys + "credential_process=p\n";
  EXPECT_EQ(get().access_key_id, "AKIA1");
}

// As other readers of the file take it.
TEST_F(CredentialChain, SettingsMayBeIndented) {
  files_["/home/.aws/credentials"] =
      "[default]\n  aws_access_key_id = AKIA1\n  # aws_access_key_id = no\n  aws_secret_access_key = geheim\n"
      "  s3 =\n    aws_access_key_id = nested\n[other]\naws_access_key_id = AKIA2\n";
  EXPECT_EQ(get().access_key_id, "AKIA1");
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

TEST_F(CredentialChain, TellsAContainersTokenToNobodyElse) {
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "geheim";
  for (const char* foreign :
       {"http://example.com/keys", "http://127.example.com/keys", "http://10.0.0.1/keys"}) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = foreign;
    EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication) << foreign;
  }
  EXPECT_TRUE(http_->sent.empty());
  for (const char* own : {"https://example.com/keys", "http://localhost:81/keys", "http://127.0.0.2/keys",
                          "http://[::1]/keys", "http://169.254.170.23/keys", "http://[fd00:ec2::23]/keys"}) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = own;
    http_->answer(200, std::string(kEndsIn));
    EXPECT_EQ(get().access_key_id, "ASIA1") << own;
  }
}

// What EKS sets for a pod.
TEST_F(CredentialChain, AWebIdentityGivesItsRole) {
  variables_.insert({{"AWS_WEB_IDENTITY_TOKEN_FILE", "/token"},
                     {"AWS_REGION", "eu-west-1"},
                     {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/"}});
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication) << "no role";
  variables_["AWS_ROLE_ARN"] = "arn:x";
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication) << "no token";
  files_["/token"] = "geheim/1\n";
  auto source = chain();
  http_->answer(200, role_keys("AssumeRoleWithWebIdentity", "ASIA9"));
  Credentials found = source->get({});
  EXPECT_EQ(found.access_key_id, "ASIA9");
  EXPECT_EQ(found.session_token.reveal(), "t");
  EXPECT_EQ(found.expires, kNow + 3600000000);
  EXPECT_EQ(http_->sent[0].request.address.url(), "https://sts.eu-west-1.amazonaws.com");
  EXPECT_EQ(http_->sent[0].body,
            "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Ax&RoleSessionName=ferry&Version=2011-06-15&"
            "WebIdentityToken=geheim%2F1");
  EXPECT_EQ(http_->sent[0].header("authorization"), "");

  // The token is renewed by others.
  files_["/token"] = "geheim/2";
  variables_["AWS_ROLE_SESSION_NAME"] = "pod";
  source->expired("ASIA9");
  http_->answer(403, sts_error("AccessDenied"));
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetAuthentication);
  EXPECT_NE(http_->sent[1].body.find("RoleSessionName=pod&"), std::string::npos);
  EXPECT_TRUE(http_->sent[1].body.ends_with("=geheim%2F2"));
  http_->answer(400, sts_error("IDPCommunicationError"));
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetUnreachable);
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

TEST_F(CredentialChain, MetadataThatGaveKeysOnceIsWaitedFor) {
  auto source = chain();
  auto answer = [&](const char* id, const char* expiration) {
    http_->answer(200, "metadata token");
    http_->answer(200, "writer");
    http_->answer(200, keys(id, expiration));
  };
  answer("ASIA1", "2015-08-30T13:36:00Z");
  source->get({});
  clock_.advance(std::chrono::minutes(61));
  http_->break_connection();
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetUnreachable);
  http_->answer(429);
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetUnreachable);
  answer("ASIA2", "2015-08-30T14:36:00Z");
  EXPECT_EQ(source->get({}).access_key_id, "ASIA2");
  source->expired("ASIA2");
  http_->break_connection();
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetUnreachable);
}

TEST_F(CredentialChain, WithoutAnyItSaysWhereItLooked) {
  http_->break_connection();
  EXPECT_EQ(error_kind(), ErrorKind::kTargetAuthentication);
  variables_["AWS_EC2_METADATA_DISABLED"] = "True";
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
  for (int later : {429, 500}) {
    http_->answer(later);
    EXPECT_EQ(error_kind(), ErrorKind::kTargetUnreachable) << later;
  }
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
  http_->answer(200, keys("ASIA1", "2015-08-30T13:36:00Z"));
  http_->answer(200, keys("ASIA2", "2015-08-30T13:36:00Z"));
  source->get({});
  source->expired("ASIA1");
  EXPECT_EQ(source->get({}).access_key_id, "ASIA2");
  // Another thread, late.
  source->expired("ASIA1");
  EXPECT_EQ(source->get({}).access_key_id, "ASIA2");
  EXPECT_EQ(http_->sent.size(), 2U);
}

// A tool may renew them without saying when they end.
TEST_F(CredentialChain, ReadsAProfilesExpiredKeysAnew) {
  files_["/home/.aws/credentials"] = "[default]\naws_access_key_id=ASIA1\naws_secret_access_key=geheim\n";
  auto source = chain();
  source->get({});
  files_["/home/.aws/credentials"] = "[default]\naws_access_key_id=ASIA2\naws_secret_access_key=geheim\n";
  EXPECT_EQ(source->get({}).access_key_id, "ASIA1");
  source->expired("ASIA1");
  EXPECT_EQ(source->get({}).access_key_id, "ASIA2");
}

TEST_F(CredentialChain, KeysThatEndSoonAreNotFetchedByEveryCall) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/";
  // The second has ended already by this machine's clock.
  for (const char* expiration : {"2015-08-30T12:38:00Z", "2015-08-30T11:00:00Z"}) {
    http_->sent.clear();
    clock_.set_now(kNow);
    auto source = chain();
    http_->answer(200, keys("ASIA1", expiration));
    source->get({});
    source->get({});
    EXPECT_EQ(http_->sent.size(), 1U);
    clock_.advance(std::chrono::minutes(1));
    http_->answer(200, keys("ASIA2", expiration));
    EXPECT_EQ(source->get({}).access_key_id, "ASIA2");
  }
}

TEST_F(CredentialChain, WhoeverHasKeysDoesNotWaitForNewOnes) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/";
  auto held = std::make_shared<HeldHttp>();
  auto source = make_credential_chain({.environment = environment(), .http = held, .clock = clock_});
  source->get({});
  held->hold("ASIA2");
  clock_.advance(std::chrono::minutes(56));
  std::jthread fetches([&] { EXPECT_EQ(source->get({}).access_key_id, "ASIA2"); });
  held->wait_until_asked();
  EXPECT_EQ(source->get({}).access_key_id, "ASIA1");

  // Without keys it waits, for no longer than the work goes on.
  source->expired("ASIA1");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(source->get(stop.get_token()), Error);
  std::jthread waits([&] { EXPECT_EQ(source->get({}).access_key_id, "ASIA2"); });
  held->let_go();
}

TEST_F(CredentialChain, AssumesARole) {
  variables_.insert({{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "geheim"}});
  auto source = make_role_source({.role_arn = "arn:aws:iam::1:role/x",
                                  .session_name = "ferry",
                                  .endpoint = parse_service_url("https://sts.example"),
                                  .region = "eu-west-1"},
                                 chain(), http_, clock_);
  http_->answer(200, role_keys("AssumeRole", "ASIA9"));
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
  auto source = role(chain());
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
  http_->answer(400, sts_error("Throttling"));
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetUnreachable);
  http_->answer(200, role_keys("AssumeRole", "ASIA9").substr(0, 100));
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetUnreachable) << "half an answer";
}

TEST_F(CredentialChain, AsksForARoleWithTheTimeOfSts) {
  variables_.insert({{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "geheim"}});
  http_->answer(403, sts_error("SignatureDoesNotMatch"), {{"date", "Sun, 30 Aug 2015 14:36:00 GMT"}});
  http_->answer(200, role_keys("AssumeRole", "ASIA9"));
  EXPECT_EQ(role(chain())->get({}).access_key_id, "ASIA9");
  EXPECT_EQ(http_->sent[1].header("x-amz-date"), "20150830T143600Z");
  // Once, and not where the clocks agree.
  for (const char* date :
       {"Sun, 30 Aug 2015 14:36:00 GMT", "Sun, 30 Aug 2015 14:36:00 GMT", "Sun, 30 Aug 2015 12:37:00 GMT"}) {
    http_->answer(403, sts_error("SignatureDoesNotMatch"), {{"date", date}});
  }
  auto source = role(chain());
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetAuthentication);
  EXPECT_EQ(error_kind(*source), ErrorKind::kTargetAuthentication);
  EXPECT_TRUE(http_->done());
}

TEST_F(CredentialChain, FetchesTheCallersExpiredKeysAnew) {
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1/";
  http_->answer(200, keys("ASIA1", "2015-08-30T13:36:00Z"));
  http_->answer(403, sts_error("ExpiredToken"));
  http_->answer(200, keys("ASIA2", "2015-08-30T13:36:00Z"));
  http_->answer(200, role_keys("AssumeRole", "ASIA9"));
  EXPECT_EQ(role(chain())->get({}).access_key_id, "ASIA9");
  EXPECT_NE(http_->sent[3].header("authorization").find("Credential=ASIA2/"), std::string::npos);
}

TEST_F(CredentialChain, AnEmptyListOfAuthoritiesIsAMistake) {
  variables_["AWS_CA_BUNDLE"] = "/ca";
  for (const char* text : {"pem", ""}) {
    files_["/ca"] = text;
    if (*text != '\0') {
      EXPECT_EQ(environment().certificate_authorities(), text);
    } else {
      EXPECT_THROW(environment().certificate_authorities(), Error);
    }
  }
}

}  // namespace
}  // namespace ferry::aws
