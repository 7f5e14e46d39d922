#include "cli/source_uri.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace ferry::cli {
namespace {

TEST(SourceUri, ReadsAndDecodesEveryPart) {
  model::Endpoint endpoint =
      parse_source_uri("postgresql://us%40er:p%3A%2F%25%20w@db.example:6543/my%2Fdb?sslmode=require");
  EXPECT_EQ(endpoint.engine_name, "postgres");
  EXPECT_EQ(endpoint.username, "us@er");
  EXPECT_EQ(endpoint.password.reveal(), "p:/% w");
  EXPECT_EQ(endpoint.server_name, "db.example");
  EXPECT_EQ(endpoint.port, 6543);
  EXPECT_EQ(endpoint.database_name, "my/db");
  EXPECT_EQ(endpoint.ssl_mode, "require");
}

TEST(SourceUri, HasPostgresDefaults) {
  model::Endpoint endpoint = parse_source_uri("postgres://localhost/shop");
  EXPECT_EQ(endpoint.port, 5432);
  EXPECT_TRUE(endpoint.username.empty());
  EXPECT_TRUE(endpoint.password.empty());
  EXPECT_EQ(parse_source_uri("postgresql://u@[::1]:5433/d").server_name, "::1");
  EXPECT_EQ(parse_source_uri("postgresql://u@[::1]:5433/d").port, 5433);
}

TEST(SourceUri, APasswordMayHoldAnAtSign) {
  EXPECT_EQ(parse_source_uri("postgresql://u:a@b@host/d").password.reveal(), "a@b");
}

TEST(SourceUri, RefusesWithoutShowingThePassword) {
  for (std::string uri :
       {"mysql://u:geheim@h/d", "postgresql://u:geheim@h", "postgresql://u:geheim@h:99999/d",
        "postgresql://u:geheim@h:x/d", "postgresql://u:geheim%zz@h/d", "postgresql://u:geheim@h/d?x=1",
        "postgresql://u:geheim@h/d?sslmode=maybe", "postgresql://u:geheim@a,b/d",
        "postgresql://u:geheim@[::1/d", "postgresql://u:a@/geheim@h/d", "postgresql://u:1/geheim@h/d", ""}) {
    try {
      parse_source_uri(uri);
      ADD_FAILURE() << uri;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kUsage);
      EXPECT_EQ(std::string(error.what()).find("geheim"), std::string::npos) << error.what();
    }
  }
}

TEST(SourceUri, WipesThePasswordInPlace) {
  std::string uri = "postgresql://user:p@ss@host:5432/db";
  std::size_t size = uri.size();
  wipe_password(uri.data());
  // No character of the password is left, and not its length.
  EXPECT_EQ(uri, std::string("postgresql://user:***@host:5432/db") + std::string(size - 34, '\0'));
  for (std::string left : {"postgresql://user@host/db", "--tables", "file:///a:b@c", "x"}) {
    std::string copy = left;
    wipe_password(copy.data());
    EXPECT_EQ(copy, left);
  }
}

}  // namespace
}  // namespace ferry::cli
