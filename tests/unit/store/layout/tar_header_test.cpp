#include "store/layout/tar_header.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>

namespace ollamafs::test {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

// One header block, read by the table of POSIX.1-2017, pax, "ustar Header Block".
class Block {
 public:
  explicit Block(std::string_view bytes) : bytes_{bytes} {}

  // A text field: it may fill its place without a NUL.
  [[nodiscard]] std::string text(std::size_t at, std::size_t size) const {
    const std::string_view field = bytes_.substr(at, size);
    return std::string{field.substr(0, field.find('\0'))};
  }
  [[nodiscard]] std::string raw(std::size_t at, std::size_t size) const {
    return std::string{bytes_.substr(at, size)};
  }
  [[nodiscard]] std::uint64_t octal(std::size_t at, std::size_t size) const {
    return std::stoull(text(at, size), nullptr, 8);
  }

  [[nodiscard]] std::string name() const { return text(0, 100); }
  [[nodiscard]] std::string prefix() const { return text(345, 155); }
  [[nodiscard]] std::string size_field() const { return raw(124, 12); }
  [[nodiscard]] std::uint64_t mtime() const { return octal(136, 12); }
  [[nodiscard]] char typeflag() const { return bytes_[156]; }

  // Base 256: the top bit, then the number with its largest byte first.
  [[nodiscard]] std::uint64_t size() const {
    if (static_cast<unsigned char>(bytes_[124]) != 0x80) return octal(124, 12);
    std::uint64_t value = 0;
    for (std::size_t i = 125; i < 136; ++i) {
      value = value << 8 | static_cast<unsigned char>(bytes_[i]);
    }
    return value;
  }

  // The path as a reader without pax puts it together.
  [[nodiscard]] std::string path() const {
    return prefix().empty() ? name() : prefix() + "/" + name();
  }

  [[nodiscard]] std::uint64_t sum() const {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      total += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(bytes_[i]);
    }
    return total;
  }

 private:
  std::string_view bytes_;
};

// A whole header, taken apart as a reader does it: the LENGTH of a record is believed, so a wrong
// one is seen.
class Header {
 public:
  explicit Header(std::string bytes) : bytes_{std::move(bytes)} {
    if (bytes_.size() > 512) read_records();
  }

  std::map<std::string, std::string> records;
  [[nodiscard]] Block last() const {
    return Block{std::string_view{bytes_}.substr(bytes_.size() - 512)};
  }

 private:
  void read_records() {
    const std::string_view all{bytes_};
    const Block extension{all.substr(0, 512)};
    ASSERT_EQ(extension.typeflag(), 'x');
    ASSERT_EQ(all.size(), 1024 + (extension.size() + 511) / 512 * 512);
    for (std::string_view rest = all.substr(512, extension.size()); !rest.empty();) {
      const std::size_t length = std::stoul(std::string{rest.substr(0, rest.find(' '))});
      ASSERT_LE(length, rest.size());
      ASSERT_EQ(rest[length - 1], '\n');
      const std::size_t key = rest.find(' ') + 1;
      const std::size_t equals = rest.find('=');
      records.emplace(rest.substr(key, equals - key), rest.substr(equals + 1, length - equals - 2));
      rest.remove_prefix(length);
    }
  }

  std::string bytes_;
};

std::string path_of(std::size_t prefix, std::size_t name) {
  return std::string(prefix, 'p') + "/" + std::string(name, 'n');
}

TEST(TarHeader, WritesEveryFieldOfAPlainMember) {
  using namespace std::string_literals;
  const auto padded = [](std::string text, std::size_t size) {
    text.resize(size, '\0');
    return text;
  };
  const std::string expected = padded("blobs/sha256-abc", 100) +  // name
                               "0000644\0"s +                     // mode
                               "0000000\0"s + "0000000\0"s +      // uid, gid
                               "00000001747\0"s +                 // size: 999
                               "14447666400\0"s +                 // mtime: 1688169728
                               "014423\0 "s +                     // checksum
                               "0"s + padded("", 100) +           // a regular file, no link
                               "ustar\0"s + "00"s +               // magic, version
                               padded("ollama", 32) + padded("ollama", 32) + "0000000\0"s +
                               "0000000\0"s +  // device
                               padded("", 155) + padded("", 12);
  ASSERT_EQ(expected.size(), 512u);
  EXPECT_EQ(tar_header("blobs/sha256-abc", 999, 1688169728), expected);
}

TEST(TarHeader, HoldsTheFirstAndTheLastTimeOfItsRange) {
  const std::string first = tar_header("a", 0, 0);
  EXPECT_EQ(Block{first}.raw(136, 12), std::string("00000000000\0", 12));
  const std::int64_t last = (std::int64_t{1} << 33) - 1;
  const std::string header = tar_header("a", 0, last);
  EXPECT_EQ(Block{header}.mtime(), static_cast<std::uint64_t>(last));
}

TEST(TarHeader, PathOf100BytesFillsTheNameField) {
  const std::string path = path_of(9, 90);
  const std::string bytes = tar_header(path, 1, 0);
  ASSERT_EQ(path.size(), 100u);
  ASSERT_EQ(bytes.size(), 512u);
  EXPECT_EQ(Block{bytes}.name(), path);
  EXPECT_THAT(Block{bytes}.prefix(), IsEmpty());
}

TEST(TarHeader, PathOf101BytesIsSplitAtItsSlash) {
  const std::string bytes = tar_header(path_of(10, 90), 1, 0);
  ASSERT_EQ(bytes.size(), 512u);
  EXPECT_EQ(Block{bytes}.prefix(), std::string(10, 'p'));
  EXPECT_EQ(Block{bytes}.name(), std::string(90, 'n'));
}

TEST(TarHeader, SplitsAtTheLastSlashThatFits) {
  // Slashes behind 60, 120 and 180 bytes: the third leaves too long a prefix.
  const std::string path = std::string(60, 'a') + "/" + std::string(59, 'b') + "/" +
                           std::string(59, 'c') + "/" + std::string(30, 'd');
  const std::string bytes = tar_header(path, 1, 0);
  ASSERT_EQ(bytes.size(), 512u);
  EXPECT_EQ(Block{bytes}.prefix(), path.substr(0, 120));
  EXPECT_EQ(Block{bytes}.path(), path);
}

TEST(TarHeader, LongestPathThatFitsHas256Bytes) {
  const std::string shorter = tar_header(path_of(154, 100), 1, 0);
  EXPECT_EQ(shorter.size(), 512u);
  EXPECT_EQ(Block{shorter}.path(), path_of(154, 100));
  const std::string longest = tar_header(path_of(155, 100), 1, 0);
  EXPECT_EQ(longest.size(), 512u);
  EXPECT_EQ(Block{longest}.path(), path_of(155, 100));
}

TEST(TarHeader, PathThatCannotBeSplitGetsAPaxRecord) {
  for (const std::string& path : {
           std::string(101, 'x'),        // no slash
           path_of(156, 99),             // too long a prefix, 256 bytes in all
           path_of(154, 101),            // too long a name, 256 bytes in all
           path_of(156, 100),            // 257 bytes
           path_of(1, 200) + "/z",       // only a short name behind a long middle
           path_of(200, 80) + "/z/tag",  // as a host of 200 bytes does it
       }) {
    const Header header{tar_header(path, 1, 0)};
    EXPECT_THAT(header.records, UnorderedElementsAre(Pair("path", path)));
    EXPECT_EQ(header.last().typeflag(), '0');
  }
}

TEST(TarHeader, SizeBelow8GiBIsElevenOctalDigits) {
  const std::string bytes = tar_header("a", 8 * kGiB - 1, 0);
  ASSERT_EQ(bytes.size(), 512u);
  EXPECT_EQ(Block{bytes}.size_field(), std::string("77777777777\0", 12));
}

// pax alone fails in busybox, base 256 alone is not POSIX.
TEST(TarHeader, SizeOf8GiBAndMoreIsWrittenTwice) {
  for (const std::uint64_t size :
       {8 * kGiB, 8 * kGiB + 1, (std::uint64_t{1} << 40) + 5, (std::uint64_t{1} << 63) - 1}) {
    const Header header{tar_header("a", size, 0)};
    EXPECT_THAT(header.records, UnorderedElementsAre(Pair("size", std::to_string(size))));
    EXPECT_EQ(static_cast<unsigned char>(header.last().size_field()[0]), 0x80);
    EXPECT_EQ(header.last().size(), size);
  }
}

TEST(TarHeader, LongPathOfALargeMemberHasBothRecords) {
  const std::string path(150, 'x');
  EXPECT_THAT(Header{tar_header(path, 9 * kGiB, 0)}.records,
              UnorderedElementsAre(Pair("path", path), Pair("size", std::to_string(9 * kGiB))));
}

// "999 path=…" with one byte more is "1001 path=…": the length counts its own digits, so no record
// has 1000 bytes. (99 and 101 lie below what a record for a path can have.)
TEST(TarHeader, RecordLengthCountsItsOwnDigits) {
  const auto record_of = [](std::size_t path) {
    return tar_header(std::string(path, 'x'), 1, 0).substr(512);
  };
  EXPECT_THAT(record_of(101), StartsWith("111 path=x"));
  EXPECT_THAT(record_of(989), StartsWith("999 path=x"));
  EXPECT_THAT(record_of(990), StartsWith("1001 path=x"));
  for (std::size_t length = 980; length < 1000; ++length) {
    const std::string path(length, 'x');
    EXPECT_THAT(Header{tar_header(path, 1, 0)}.records, UnorderedElementsAre(Pair("path", path)));
  }
}

// Else the archive's bytes would depend on who wrote it, and when.
TEST(TarHeader, PaxHeaderIsAsFixedAsTheMembers) {
  const std::string bytes = tar_header("dir/" + std::string(120, 'x'), 1, 1688169600);
  const Block header{std::string_view{bytes}.substr(0, 512)};
  EXPECT_EQ(header.name(), "PaxHeaders/" + std::string(89, 'x'));
  EXPECT_THAT(header.prefix(), IsEmpty());
  EXPECT_EQ(header.octal(100, 8), 0644u);
  EXPECT_EQ(header.octal(108, 8), 0u);
  EXPECT_EQ(header.octal(116, 8), 0u);
  EXPECT_EQ(header.mtime(), 1688169600u);
  EXPECT_EQ(header.text(265, 32), "ollama");
  EXPECT_EQ(header.text(297, 32), "ollama");
  EXPECT_EQ(header.octal(148, 8), header.sum());
}

TEST(TarHeader, IsAsLongAsItsSizeSaysAndSumsUp) {
  std::mt19937_64 random{1};
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  for (int i = 0; i < 5000; ++i) {
    std::string path = "p";
    for (std::uint64_t left = below(i % 10 == 0 ? 5000 : 400); left > 0; --left) {
      path += path.back() != '/' && below(60) == 0 ? '/' : static_cast<char>('a' + below(26));
    }
    if (path.back() == '/') path += 'z';
    const std::uint64_t size = random() >> (1 + below(63));
    const std::string bytes = tar_header(path, size, static_cast<std::int64_t>(below(1u << 31)));
    ASSERT_EQ(bytes.size(), tar_header_size(path, size)) << path;
    ASSERT_EQ(bytes.size() % 512, 0u);

    const Header header{bytes};
    const auto record = header.records.find("path");
    ASSERT_EQ(record == header.records.end() ? header.last().path() : record->second, path);
    ASSERT_EQ(header.last().size(), size);
    ASSERT_EQ(header.last().octal(148, 8), header.last().sum());
  }
}

TEST(TarPadding, FillsTheLastUnit) {
  EXPECT_EQ(tar_padding(0), 0u);
  EXPECT_EQ(tar_padding(1), 511u);
  EXPECT_EQ(tar_padding(511), 1u);
  EXPECT_EQ(tar_padding(512), 0u);
  EXPECT_EQ(tar_padding(513), 511u);
  EXPECT_EQ(tar_padding(1, 10240), 10239u);
  EXPECT_EQ(tar_padding((std::uint64_t{1} << 63) - 1), 1u);
}

}  // namespace
}  // namespace ollamafs::test
