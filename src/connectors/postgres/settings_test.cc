#include "connectors/postgres/settings.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "base/error.h"

namespace ferry::postgres {
namespace {

model::Endpoint endpoint(std::string host = "db.example") {
  model::Endpoint result;
  result.identifier = "source";
  result.engine_name = "postgres";
  result.server_name = std::move(host);
  result.database_name = "shop";
  return result;
}

TEST(SettingsTest, EncryptsUnlessTheServerIsHere) {
  EXPECT_EQ(read_settings(endpoint()).ssl_mode, "verify-full");
  EXPECT_FALSE(read_settings(endpoint()).ssl_root_certificate.empty());
  for (const char* here : {"localhost", "127.0.0.1", "127.1.2.3", "::1", "/var/run/postgresql"}) {
    EXPECT_EQ(read_settings(endpoint(here)).ssl_mode, "prefer") << here;
  }
  for (const char* elsewhere : {"127.db.example.com", "127.0.0.1.example.com", "127.1", "10.0.0.1"}) {
    EXPECT_EQ(read_settings(endpoint(elsewhere)).ssl_mode, "verify-full") << elsewhere;
  }
  auto none = endpoint();
  none.ssl_mode = "none";
  EXPECT_EQ(read_settings(none).ssl_mode, "disable");
  auto require = endpoint();
  require.ssl_mode = "require";
  EXPECT_EQ(read_settings(require).ssl_mode, "require");
}

TEST(SettingsTest, KeepsTheCertificateInAPrivateFileForAsLongAsItIsNeeded) {
  auto with_certificate = endpoint();
  with_certificate.certificate_pem = "-----BEGIN CERTIFICATE-----\n";
  std::string path;
  {
    Settings settings = read_settings(with_certificate);
    Settings copy = settings;
    path = copy.ssl_root_certificate;
    struct stat facts{};
    ASSERT_EQ(::stat(path.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777U, 0600U);
    std::stringstream content;
    content << std::ifstream(path).rdbuf();
    EXPECT_EQ(content.str(), with_certificate.certificate_pem);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(SettingsTest, RefusesWhatNobodyKnows) {
  auto unknown = endpoint();
  unknown.settings["slotnames"] = {.name = "SlotNames", .value = "x"};
  EXPECT_THROW(read_settings(unknown), base::Error);
  auto nameless = endpoint();
  nameless.database_name.clear();
  EXPECT_THROW(read_settings(nameless), base::Error);
}

TEST(SettingsTest, ClaimsALengthOfUnboundedTextOnlyWhereTheUserDoes) {
  EXPECT_EQ(read_settings(endpoint()).unbounded_varchar_length, 0);
  auto named = endpoint();
  named.settings["unboundedvarcharmaxsize"] = {.name = "unboundedVarcharMaxSize", .value = "100"};
  EXPECT_EQ(read_settings(named).unbounded_varchar_length, 100);
}

}  // namespace
}  // namespace ferry::postgres
