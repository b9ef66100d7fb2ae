#include "tests/fuzz/archive_oracle.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "tests/fuzz/check.h"

namespace ollamafs::test {
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::uint64_t kRecord = 10240;
constexpr std::uint64_t kReadWhole = 4 << 10;

std::uint64_t padded(std::uint64_t size, std::uint64_t unit) {
  return (size + unit - 1) / unit * unit;
}

// Gives libarchive what it reads and leaves out what it skips: an archive may have exabytes.
class Source {
 public:
  explicit Source(const Layout& layout) : layout_{layout} {}

  void attach(archive* tar) {
    archive_read_set_read_callback(tar, on_read);
    archive_read_set_skip_callback(tar, on_skip);
    archive_read_set_callback_data(tar, this);
  }

 private:
  static la_ssize_t on_read(archive*, void* self, const void** out) {
    auto& source = *static_cast<Source*>(self);
    source.buffer_ = bytes_at(source.layout_, source.at_, kRecord);
    source.at_ += source.buffer_.size();
    *out = source.buffer_.data();
    return static_cast<la_ssize_t>(source.buffer_.size());
  }
  static la_int64_t on_skip(archive*, void* self, la_int64_t count) {
    auto& source = *static_cast<Source*>(self);
    const std::uint64_t left = source.layout_.size() - source.at_;
    const std::uint64_t skipped = std::min(left, static_cast<std::uint64_t>(count));
    source.at_ += skipped;
    return static_cast<la_int64_t>(skipped);
  }

  const Layout& layout_;
  std::uint64_t at_ = 0;
  std::string buffer_;
};

void check_content(archive* tar, const Member& member, std::string_view manifest) {
  std::string content(member.size + 1, '\0');
  const la_ssize_t length = archive_read_data(tar, content.data(), content.size());
  OLLAMAFS_CHECK_FOR(length >= 0 && static_cast<std::uint64_t>(length) == member.size, member.path);
  content.resize(member.size);
  if (!member.path.starts_with("blobs/")) {
    OLLAMAFS_CHECK(content == manifest);
    return;
  }
  const auto digest = Digest::parse(member.path.substr(6));
  OLLAMAFS_CHECK_FOR(digest.has_value(), member.path);
  for (std::uint64_t i = 0; i < member.size; ++i) {
    OLLAMAFS_CHECK_FOR(content[i] == blob_byte(*digest, i), member.path);
  }
}

// Digits of base 8, up to a NUL or a blank; or base 256, if the top bit is set.
std::uint64_t number_field(std::string_view field) {
  std::uint64_t value = 0;
  if (static_cast<unsigned char>(field[0]) == 0x80) {
    for (const char c : field.substr(1)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  for (const char c : field) {
    if (c == '\0' || c == ' ') break;
    OLLAMAFS_CHECK(c >= '0' && c <= '7');
    value = value << 3 | static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

std::string text_field(std::string_view field) {
  return std::string{field.substr(0, field.find('\0'))};
}

struct Header {
  char type;
  Member member;
};

Header header(std::string_view block) {
  OLLAMAFS_CHECK(block.size() == kBlock);
  unsigned sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
  }
  OLLAMAFS_CHECK(number_field(block.substr(148, 8)) == sum);
  OLLAMAFS_CHECK(block.substr(257, 8) == std::string_view("ustar\00000", 8));
  OLLAMAFS_CHECK(number_field(block.substr(100, 8)) == 0644);
  OLLAMAFS_CHECK(number_field(block.substr(108, 8)) == 0 &&
                 number_field(block.substr(116, 8)) == 0);
  OLLAMAFS_CHECK(text_field(block.substr(265, 32)) == "ollama");
  OLLAMAFS_CHECK(text_field(block.substr(297, 32)) == "ollama");
  OLLAMAFS_CHECK(block.substr(500) == std::string(12, '\0'));
  Header out{block[156], {}};
  const std::string prefix = text_field(block.substr(345, 155));
  out.member.path = (prefix.empty() ? "" : prefix + "/") + text_field(block.substr(0, 100));
  out.member.size = number_field(block.substr(124, 12));
  out.member.mtime = static_cast<std::int64_t>(number_field(block.substr(136, 12)));
  return out;
}

struct Records {
  std::optional<std::string> path;
  std::optional<std::uint64_t> size;
};

Records pax_records(std::string_view text) {
  Records out;
  while (!text.empty()) {
    const std::size_t blank = text.find(' ');
    const std::size_t length = std::stoul(std::string{text.substr(0, blank)});
    OLLAMAFS_CHECK_FOR(length > blank + 1 && length <= text.size() && text[length - 1] == '\n',
                       text);
    const std::string_view record = text.substr(blank + 1, length - blank - 2);
    text.remove_prefix(length);
    const std::size_t equals = record.find('=');
    const std::string keyword{record.substr(0, equals)};
    const std::string value{record.substr(equals + 1)};
    if (keyword == "path") {
      out.path = value;
    } else {
      OLLAMAFS_CHECK_FOR(keyword == "size", keyword);
      out.size = std::stoull(value);
    }
  }
  return out;
}

}  // namespace

char blob_byte(const Digest& digest, std::uint64_t offset) noexcept {
  const auto& bytes = digest.bytes();
  std::uint64_t x = offset + (std::uint64_t{bytes[0]} << 32 | std::uint64_t{bytes[3]} << 40 |
                              std::uint64_t{bytes.back()} << 48);
  x *= 0x9E3779B97F4A7C15;  // Fibonacci hashing
  return static_cast<char>(x >> 56);
}

std::string bytes_at(const Layout& layout, std::uint64_t offset, std::uint64_t size) {
  std::string out;
  layout.for_each_in(offset, size,
                     [&](const Segment& segment, std::uint64_t at, std::uint64_t length) {
                       if (segment.is_generated()) {
                         out += layout.generated().substr(segment.source + at, length);
                         return;
                       }
                       for (std::uint64_t i = 0; i < length; ++i) {
                         out += blob_byte(layout.blobs()[segment.blob], segment.source + at + i);
                       }
                     });
  return out;
}

std::vector<Member> read_by_libarchive(const Layout& layout, std::string_view manifest) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> tar{archive_read_new(),
                                                                   &archive_read_free};
  archive_read_support_format_tar(tar.get());
  Source source{layout};
  source.attach(tar.get());
  OLLAMAFS_CHECK(archive_read_open1(tar.get()) == ARCHIVE_OK);
  std::vector<Member> members;
  archive_entry* entry = nullptr;
  int status = ARCHIVE_OK;
  while ((status = archive_read_next_header(tar.get(), &entry)) == ARCHIVE_OK) {
    // libarchive has the offset of the first header, which may be a pax header.
    const Member member{archive_entry_pathname(entry),
                        static_cast<std::uint64_t>(archive_entry_size(entry)),
                        archive_entry_mtime(entry), 0};
    OLLAMAFS_CHECK_FOR(archive_entry_mode(entry) == (S_IFREG | 0644), member.path);
    OLLAMAFS_CHECK_FOR(archive_entry_uid(entry) == 0 && archive_entry_gid(entry) == 0, member.path);
    OLLAMAFS_CHECK_FOR(archive_entry_uname(entry) == std::string{"ollama"}, member.path);
    OLLAMAFS_CHECK_FOR(archive_entry_gname(entry) == std::string{"ollama"}, member.path);
    OLLAMAFS_CHECK_FOR(!archive_entry_hardlink(entry), member.path);
    if (member.size <= kReadWhole || !member.path.starts_with("blobs/")) {
      check_content(tar.get(), member, manifest);
    }
    members.push_back(member);
  }
  const char* error = archive_error_string(tar.get());
  OLLAMAFS_CHECK_FOR(status == ARCHIVE_EOF, error ? error : "");
  return members;
}

std::vector<Member> read_by_headers(const Layout& layout) {
  std::vector<Member> members;
  std::uint64_t at = 0;
  for (;;) {
    const std::string block = bytes_at(layout, at, kBlock);
    if (block == std::string(kBlock, '\0')) break;
    Header found = header(block);
    at += kBlock;
    Records records;
    if (found.type == 'x') {
      OLLAMAFS_CHECK_FOR(found.member.path.starts_with("PaxHeaders/"), found.member.path);
      const std::string body = bytes_at(layout, at, padded(found.member.size, kBlock));
      OLLAMAFS_CHECK(body.substr(found.member.size).find_first_not_of('\0') == std::string::npos);
      records = pax_records(body.substr(0, found.member.size));
      at += body.size();
      const std::int64_t mtime = found.member.mtime;
      found = header(bytes_at(layout, at, kBlock));
      OLLAMAFS_CHECK(found.member.mtime == mtime);
      at += kBlock;
    }
    OLLAMAFS_CHECK_FOR(found.type == '0', found.member.path);
    OLLAMAFS_CHECK(records.size.value_or(found.member.size) == found.member.size);
    // Octal digits are all that older readers know, and pax is what POSIX knows.
    OLLAMAFS_CHECK(records.size.has_value() == (found.member.size >= std::uint64_t{8} << 30));
    if (records.path) found.member.path = *records.path;
    found.member.data = at;
    const std::uint64_t end = at + found.member.size;
    at += padded(found.member.size, kBlock);
    OLLAMAFS_CHECK(at <= layout.size());
    OLLAMAFS_CHECK(bytes_at(layout, end, at - end).find_first_not_of('\0') == std::string::npos);
    members.push_back(std::move(found.member));
  }
  // Two blocks of zeros, and as many more as fill the record, are the end.
  OLLAMAFS_CHECK(layout.size() == padded(at + 2 * kBlock, kRecord));
  OLLAMAFS_CHECK(bytes_at(layout, at, kRecord + 2 * kBlock).find_first_not_of('\0') ==
                 std::string::npos);
  return members;
}

}  // namespace ollamafs::test
