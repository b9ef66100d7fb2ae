#include "store/model/digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>
#include <unordered_set>

namespace ollamafs::test {
namespace {

using ::testing::Ne;
using ::testing::Optional;

// What sha256sum prints for "abc" (FIPS 180-2).
constexpr std::string_view kAbc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr std::string_view kAbcUpper =
    "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";

std::string spelled(std::string_view prefix, std::string_view hex) {
  return std::string{prefix} + std::string{hex};
}

// The digest whose first bytes are given and whose others are zero.
Digest beginning(std::uint8_t a, std::uint8_t b, std::uint8_t c) {
  return Digest{Digest::Bytes{a, b, c}};
}

std::string utc(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  char text[40];
  return {text, std::strftime(text, sizeof text, "%FT%TZ", ::gmtime_r(&time, &parts))};
}

TEST(Digest, IsTheSha256OfTheBytes) {
  EXPECT_EQ(Digest::of("abc").hex(), kAbc);
  EXPECT_EQ(Digest::of("").hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Digest::of(std::string(1'000'000, 'a')).hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Digest, CountsEveryByteAlsoNul) {
  EXPECT_NE(Digest::of(std::string_view{"a\0b", 3}), Digest::of(std::string_view{"a\0c", 3}));
  EXPECT_NE(Digest::of(std::string_view{"a\0", 2}), Digest::of("a"));
}

TEST(Digest, ReadsAllFourSpellings) {
  for (const std::string_view prefix : {"sha256:", "sha256-"}) {
    for (const std::string_view hex : {kAbc, kAbcUpper}) {
      EXPECT_THAT(Digest::parse(spelled(prefix, hex)), Optional(Digest::of("abc")))
          << prefix << hex;
    }
  }
}

TEST(Digest, ReadsMixedCase) {
  std::string mixed{kAbc};
  mixed[0] = 'B';
  EXPECT_THAT(Digest::parse("sha256:" + mixed), Optional(Digest::of("abc")));
  EXPECT_THAT(Digest::parse_hex(mixed), Optional(Digest::of("abc")));
}

TEST(Digest, WritesLowerCaseWhateverItRead) {
  const auto digest = Digest::parse(spelled("sha256-", kAbcUpper));
  ASSERT_TRUE(digest);
  EXPECT_EQ(digest->hex(), kAbc);
  EXPECT_EQ(digest->to_string(), spelled("sha256:", kAbc));
  EXPECT_EQ(digest->blob_name(), spelled("sha256-", kAbc));
  EXPECT_EQ(digest->blob_path(), spelled("blobs/sha256-", kAbc));
  EXPECT_EQ(digest->id(), "ba7816bf8f01");
}

TEST(Digest, ReadsWhatItWrites) {
  const Digest digest = beginning(0x00, 0x9f, 0xf0);
  EXPECT_THAT(Digest::parse(digest.to_string()), Optional(digest));
  EXPECT_THAT(Digest::parse(digest.blob_name()), Optional(digest));
  EXPECT_THAT(Digest::parse_hex(digest.hex()), Optional(digest));
}

TEST(Digest, ReadsEveryByteThatItWrites) {
  for (int byte = 0; byte < 256; ++byte) {
    Digest::Bytes bytes{};
    bytes.fill(static_cast<std::uint8_t>(byte));
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(byte));
    const std::string hex = Digest{bytes}.hex();
    EXPECT_EQ(hex.substr(62), digits);
    EXPECT_THAT(Digest::parse_hex(hex), Optional(Digest{bytes}));
  }
}

// A digest becomes a file name, so nothing that could lead elsewhere may pass for one.
TEST(Digest, RefusesWhatClimbs) {
  for (const std::string& text : {
           std::string{"sha256:../../x"},
           std::string{"sha256:../../../../etc/passwd"},
           std::string{"sha256-../../x"},
           spelled("sha256:../", kAbc.substr(3)),
           spelled("sha256:", kAbc.substr(3)) + "/..",
           spelled("sha256:/", kAbc.substr(1)),
           spelled("../sha256:", kAbc),
           spelled("sha256:./", kAbc),
       }) {
    EXPECT_FALSE(Digest::parse(text)) << text;
  }
}

TEST(Digest, RefusesAnotherLength) {
  EXPECT_FALSE(Digest::parse("sha256:"));
  EXPECT_FALSE(Digest::parse("sha256:ba7816bf8f01"));
  EXPECT_FALSE(Digest::parse(spelled("sha256:", kAbc.substr(1))));
  EXPECT_FALSE(Digest::parse(spelled("sha256:", kAbc) + "0"));
  EXPECT_FALSE(Digest::parse(spelled("sha256:", kAbc) + " "));
  EXPECT_FALSE(Digest::parse(spelled("sha256:", kAbc) + "\n"));
  EXPECT_FALSE(Digest::parse(spelled("sha256-", kAbc) + "-partial"));
  EXPECT_FALSE(Digest::parse_hex(""));
  EXPECT_FALSE(Digest::parse_hex(kAbc.substr(1)));
}

TEST(Digest, RefusesAnotherAlgorithmOrSeparator) {
  for (const std::string_view prefix :
       {"", "sha256", "sha256_", "sha256=", "sha256::", "sha256:-", "sha512:", "SHA256:", "Sha256-",
        " sha256:", "md5:", "sha1-"}) {
    EXPECT_FALSE(Digest::parse(spelled(prefix, kAbc))) << prefix;
  }
}

// Of all 256 bytes, only the hex digits may stand in one, wherever they stand.
TEST(Digest, RefusesEveryByteThatIsNoHexDigit) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    for (const std::size_t at : {std::size_t{0}, std::size_t{31}, std::size_t{63}}) {
      std::string hex{kAbc};
      hex[at] = c;
      EXPECT_EQ(Digest::parse_hex(hex).has_value(), digit) << "byte " << byte << " at " << at;
    }
  }
}

TEST(Digest, SortsAsItsFileNamesSort) {
  EXPECT_LT(beginning(0x01, 0xff, 0), beginning(0x02, 0, 0));
  EXPECT_LT(beginning(0x7f, 0, 0), beginning(0x80, 0, 0));
  EXPECT_EQ(Digest{}.hex(), std::string(64, '0'));
}

TEST(Digest, IsAKeyOfHashTables) {
  std::unordered_set<Digest> set;
  for (int i = 0; i < 100; ++i) set.insert(Digest::of(std::to_string(i)));
  set.insert(Digest::of("7"));
  EXPECT_EQ(set.size(), 100u);
  EXPECT_TRUE(set.contains(Digest::of("99")));
}

TEST(ContentTime, BeginsInJuly2023) {
  EXPECT_EQ(utc(content_time(beginning(0, 0, 0))), "2023-07-01T00:00:00Z");
}

TEST(ContentTime, CountsTheFirst24BitsInStepsOfTwoSeconds) {
  EXPECT_EQ(utc(content_time(beginning(0, 0, 1))), "2023-07-01T00:00:02Z");
  EXPECT_EQ(utc(content_time(beginning(0, 1, 0))), "2023-07-01T00:08:32Z");
  EXPECT_EQ(utc(content_time(beginning(1, 0, 0))), "2023-07-02T12:24:32Z");
  EXPECT_EQ(utc(content_time(beginning(0xff, 0xff, 0xff))), "2024-07-23T08:40:30Z");
  EXPECT_EQ(content_time(Digest{Digest::Bytes{0, 0, 0, 0xff, 0xff}}), content_time(Digest{}));
}

// FAT keeps two-second steps: an odd time would come back another one, and rsync would copy again.
TEST(ContentTime, IsAlwaysEven) {
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(content_time(Digest::of(std::to_string(i))) % 2, 0);
  }
}

// rsync's quick check sees only size and time: two fine-tunes of one size must differ.
TEST(ContentTime, TellsContentsApart) {
  EXPECT_THAT(content_time(Digest::of("one fine-tune")),
              Ne(content_time(Digest::of("other fine-tune"))));
}

}  // namespace
}  // namespace ollamafs::test
