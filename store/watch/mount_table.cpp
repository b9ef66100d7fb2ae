#include "store/watch/mount_table.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

#include "store/base/unique_fd.h"

namespace ollamafs {
namespace {

[[noreturn]] void fail() {
  throw std::system_error{errno, std::generic_category(), kMountTable};
}

std::string read_from_start(int table) {
  if (::lseek(table, 0, SEEK_SET) != 0) fail();
  std::string text;
  for (constexpr std::size_t kPiece = 64 << 10;;) {
    const std::size_t size = text.size();
    text.resize(size + kPiece);
    const ssize_t n = ::read(table, text.data() + size, kPiece);
    if (n < 0 && errno != EINTR) fail();
    text.resize(size + static_cast<std::size_t>(n < 0 ? 0 : n));
    if (n == 0) return text;
  }
}

// Cuts off what stands before the next `end`, and that.
std::string_view next(std::string_view& text, char end) {
  const auto at = text.find(end);
  const std::string_view word = text.substr(0, at);
  text.remove_prefix(at == text.npos ? text.size() : at + 1);
  return word;
}

// Blank, tab, newline and backslash stand as three octal digits in the table.
std::string unescape(std::string_view field) {
  std::string out;
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size()) {
      out += static_cast<char>((field[i + 1] - '0') << 6 | (field[i + 2] - '0') << 3 |
                               (field[i + 3] - '0'));
      i += 3;
    } else {
      out += field[i];
    }
  }
  return out;
}

template <class Number>
bool to_number(std::string_view word, Number& number) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return error == std::errc{} && end == word.data() + word.size();
}

// "36 35 98:0 /root /mountpoint options optional… - type source superoptions"
std::optional<MountEntry> parse(std::string_view line) {
  MountEntry entry;
  unsigned major = 0, minor = 0;
  if (!to_number(next(line, ' '), entry.id)) return std::nullopt;
  (void)next(line, ' ');
  if (!to_number(next(line, ':'), major) || !to_number(next(line, ' '), minor)) return std::nullopt;
  entry.device = ::makedev(major, minor);
  entry.root = unescape(next(line, ' '));
  entry.mountpoint = unescape(next(line, ' '));
  while (!line.empty() && next(line, ' ') != "-") {
  }
  if (line.empty()) return std::nullopt;
  entry.type = unescape(next(line, ' '));
  entry.source = unescape(next(line, ' '));
  entry.options = unescape(next(line, ' '));
  return entry;
}

}  // namespace

std::vector<MountEntry> mount_table(int table) {
  const std::string text = read_from_start(table);
  std::vector<MountEntry> entries;
  for (std::string_view rest = text; !rest.empty();) {
    if (auto entry = parse(next(rest, '\n'))) entries.push_back(std::move(*entry));
  }
  return entries;
}

std::vector<MountEntry> mount_table() {
  const UniqueFd table{::open(kMountTable, O_RDONLY | O_CLOEXEC)};
  if (!table) fail();
  return mount_table(table.get());
}

}  // namespace ollamafs
