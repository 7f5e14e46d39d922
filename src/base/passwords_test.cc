#include "base/passwords.h"

#include <gtest/gtest.h>

namespace ferry::base {
namespace {

TEST(HidePassword, OfAUri) {
  EXPECT_EQ(hide_password("postgresql://u:geheim@h/d"), "postgresql://u:***@h/d");
  EXPECT_EQ(hide_password("not expected: --x=s3://u:12345@h, see `ferry --help`"),
            "not expected: --x=s3://u:***@h, see `ferry --help`");
  EXPECT_EQ(hide_password("postgresql://:@h"), "postgresql://:***@h");
  EXPECT_EQ(hide_password("postgresql://u:2024.a@h:5432/d"), "postgresql://u:***@h:5432/d");
}

TEST(HidePassword, OfAUriThatShouldHaveBeenEncoded) {
  EXPECT_EQ(hide_password("a postgresql://u:ge/h?e:i@m 1@h/d b"), "a postgresql://u:***@h/d b");
  EXPECT_EQ(hide_password("postgresql://a user:geheim@h"), "postgresql://a user:***@h");
  EXPECT_EQ(hide_password("x://u:a://v:b@h"), "x://u:***@h");
}

TEST(HidePassword, OfEveryUri) {
  EXPECT_EQ(hide_password("file:///x and postgresql://u:a@h/d and postgresql://v:b@i/e"),
            "file:///x and postgresql://u:***@i/e");
}

TEST(HidePassword, OfAParameter) {
  EXPECT_EQ(hide_password("postgresql://h/d?password=geheim&user=u is"),
            "postgresql://h/d?password=***&user=u is");
  EXPECT_EQ(hide_password("x://u:a@h?sslpassword=b&password="), "x://u:***@h?sslpassword=***&password=***");
}

TEST(HidePassword, WhereThereIsNoneAllStays) {
  for (std::string_view text :
       {"", "@", "://", "://@", "a:b@c", "postgresql://u@h:5432/d", "file:///data/a:b@c", "x://u:geheim",
        "http://127.0.0.1:9000/bucket/a@b is refused", "postgresql://h:5432?sslrootcert=a@b", "://a:1"}) {
    EXPECT_EQ(hide_password(text), text);
  }
}

}  // namespace
}  // namespace ferry::base
