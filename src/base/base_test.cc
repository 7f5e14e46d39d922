// Bytes, errors and secrets.

#include <gtest/gtest.h>

#include <set>
#include <type_traits>

#include "base/bytes.h"
#include "base/error.h"
#include "base/secret.h"

namespace ferry::base {

TEST(Bytes, BigEndianThereAndBack) {
  std::string bytes;
  append_big_endian(bytes, std::uint8_t{0xAB});
  append_big_endian(bytes, std::int16_t{-2});
  append_big_endian(bytes, std::uint32_t{0x01020304});
  append_big_endian(bytes, std::int64_t{0x0102030405060708});
  EXPECT_EQ(bytes, std::string("\xAB\xFF\xFE\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08"));

  ByteReader reader(bytes);
  EXPECT_EQ(reader.read<std::uint8_t>(), 0xAB);
  EXPECT_EQ(reader.read<std::int16_t>(), -2);
  EXPECT_EQ(reader.read<std::uint32_t>(), 0x01020304U);
  EXPECT_EQ(reader.read<std::int64_t>(), 0x0102030405060708);
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.at_end());
}

TEST(Bytes, NativeThereAndBackAtAnyAddress) {
  std::string bytes = "x";
  append_native(bytes, 1.5);
  EXPECT_EQ(load_native<double>(bytes.data() + 1), 1.5);
}

TEST(Bytes, ReadingPastTheEndIsRememberedAndYieldsZeros) {
  ByteReader reader(std::string_view("\x01\x02\x03", 3));
  EXPECT_EQ(reader.read<std::int32_t>(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.left(), 0U);
  EXPECT_EQ(reader.read<std::int8_t>(), 0) << "what was left is not read after a failure";
  EXPECT_EQ(reader.read_bytes(1), "");
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, ReadBytesToTheEnd) {
  ByteReader reader("abc");
  EXPECT_EQ(reader.read_bytes(0), "");
  EXPECT_EQ(reader.read_bytes(3), "abc");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.read_bytes(1), "");
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, CStringsNeedTheirNul) {
  ByteReader reader(std::string_view("ab\0\0cd", 6));
  EXPECT_EQ(reader.read_c_string(), "ab");
  EXPECT_EQ(reader.read_c_string(), "");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.read_c_string(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(ErrorKinds, CodesAndExitCodesAreOnePerKind) {
  std::set<std::string_view> codes;
  std::set<int> exit_codes;
  for (const ErrorKindFacts& facts : error_kinds()) {
    EXPECT_EQ(&facts_of(facts.kind), &facts);
    EXPECT_TRUE(codes.insert(facts.code).second) << facts.code;
    EXPECT_TRUE(exit_codes.insert(facts.exit_code).second) << facts.code;
    EXPECT_LE(facts.code.size(), 32U);
    EXPECT_EQ(facts.code.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos)
        << facts.code;
    EXPECT_TRUE(facts.exit_code >= 1 && facts.exit_code <= 125) << facts.code;
  }
}

// A few of the promises to scripts; a kind is never renumbered.
TEST(ErrorKinds, PromisedNumbers) {
  EXPECT_EQ(facts_of(ErrorKind::kUsage).exit_code, 2);
  EXPECT_EQ(facts_of(ErrorKind::kSourceUnreachable).exit_code, 20);
  EXPECT_EQ(facts_of(ErrorKind::kTargetForeignObjects).exit_code, 43);
  EXPECT_EQ(facts_of(ErrorKind::kStopped).code, "stopped");
  EXPECT_EQ(facts_of(ErrorKind::kSourceTable).recovery, Recovery::kTable);
  EXPECT_EQ(facts_of(ErrorKind::kSourceConnectionLost).recovery, Recovery::kRecoverable);
  EXPECT_EQ(facts_of(ErrorKind::kSourceSlotLost).recovery, Recovery::kFatal);
}

std::string line_of(Error::Parts parts) { return Error(ErrorKind::kInternal, std::move(parts)).what(); }

TEST(ErrorText, IsOneLineOfMessageCodeAndRemedy) {
  EXPECT_EQ(line_of({.message = "no slot"}), "no slot");
  EXPECT_EQ(line_of({.message = "no slot", .remedy = "Drop one."}), "no slot. Drop one.");
  EXPECT_EQ(line_of({.message = "No slot.", .remedy = "Drop one."}), "No slot. Drop one.");
  EXPECT_EQ(line_of({.message = "no slot", .remedy = "Drop one.", .vendor_code = "53400"}),
            "no slot (53400). Drop one.");
}

TEST(ErrorText, ContextComesFirstAndTheRestStays) {
  Error inner(ErrorKind::kSourceTable,
              Error::Parts{.message = "gone", .remedy = "Look.", .vendor_code = "42P01"});
  Error outer = inner.with_context("table a.b");
  EXPECT_EQ(outer.kind(), ErrorKind::kSourceTable);
  EXPECT_EQ(outer.message(), "table a.b: gone");
  EXPECT_EQ(outer.remedy(), "Look.");
  EXPECT_EQ(outer.vendor_code(), "42P01");
  EXPECT_EQ(std::string(inner.what()), "gone (42P01). Look.");
}

TEST(SecretText, MovesLeaveNothingBehind) {
  Secret first("a password longer than a small string holds");
  EXPECT_FALSE(first.empty());
  Secret second = std::move(first);
  EXPECT_EQ(second.reveal(), "a password longer than a small string holds");
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that it is empty is the promise.
  Secret third;
  third = std::move(second);
  EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(third.reveal(), "a password longer than a small string holds");
}

TEST(SecretText, CopiesAreTheirOwn) {
  Secret first("one");
  Secret second = first;
  second = Secret("two");
  EXPECT_EQ(first.reveal(), "one");
  EXPECT_EQ(second.reveal(), "two");
  const Secret& same = second;
  second = same;
  EXPECT_EQ(second.reveal(), "two");
}

}  // namespace ferry::base
