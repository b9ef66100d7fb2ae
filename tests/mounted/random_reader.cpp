#include "tests/mounted/random_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace ollamafs::test {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kLargest = 2u << 20;  // more than one request holds

bool is(const void* bytes, ssize_t size, std::string_view expected) {
  return size == static_cast<ssize_t>(expected.size()) &&
         (size == 0 || std::memcmp(bytes, expected.data(), expected.size()) == 0);
}

}  // namespace

RandomReader::RandomReader(std::filesystem::path path, std::string content, std::uint64_t seed)
    : path_{std::move(path)}, content_{std::move(content)}, random_{seed} {
  open(O_RDONLY);
}

void RandomReader::open(int flags) {
  fd_ = UniqueFd{::open(path_.c_str(), flags | O_CLOEXEC)};
  if (!fd_) throw std::system_error{errno, std::generic_category(), path_.string()};
  position_ = 0;
}

void RandomReader::note(std::string what) {
  if (log_.size() == 10) log_.pop_front();
  log_.push_back(std::move(what));
}

std::string RandomReader::run(std::size_t operations) {
  using Operation = bool (RandomReader::*)();
  // The usual ones more often.
  constexpr std::array<Operation, 16> all = {
      &RandomReader::read,   &RandomReader::read,      &RandomReader::read,
      &RandomReader::pread,  &RandomReader::pread,     &RandomReader::pread,
      &RandomReader::preadv, &RandomReader::preadv,    &RandomReader::read_direct,
      &RandomReader::seek,   &RandomReader::seek_hole, &RandomReader::map,
      &RandomReader::send,   &RandomReader::advise,    &RandomReader::reopen,
      &RandomReader::stat};
  for (std::size_t i = 0; i < operations; ++i) {
    errno = 0;
    if ((this->*all[below(all.size())])()) continue;
    std::string said = fmt::format("operation {} is wrong (errno {}), of {} bytes:\n", i,
                                   ::strerrorname_np(errno), content_.size());
    for (const std::string& line : log_) said += "  " + line + '\n';
    return said;
  }
  return {};
}

// Half of them at a border of pages or blocks of tar, or next to one; some beyond the end.
std::uint64_t RandomReader::some_offset() {
  std::uint64_t offset = below(content_.size() + kPage);
  if (below(2) == 0) {
    const std::uint64_t border = below(2) == 0 ? 512 : kPage;
    offset = offset / border * border + below(3);
    offset -= offset == 0 ? 0 : 1;
  }
  return below(50) == 0 ? content_.size() - std::min<std::uint64_t>(content_.size(), 1) : offset;
}

std::size_t RandomReader::some_size() {
  return below(std::uint64_t{2} << below(22)) % kLargest;
}

std::string_view RandomReader::expected(std::uint64_t offset, std::size_t size) const {
  return std::string_view{content_}.substr(std::min<std::uint64_t>(offset, content_.size()), size);
}

bool RandomReader::read() {
  const std::size_t size = some_size();
  note(fmt::format("read {} at {}", size, position_));
  std::vector<char> buffer(size);
  const ssize_t n = ::read(fd_.get(), buffer.data(), size);
  const std::string_view right = expected(position_, size);
  position_ += right.size();
  return is(buffer.data(), n, right);
}

bool RandomReader::pread() {
  const std::size_t size = some_size();
  const std::uint64_t offset = some_offset();
  note(fmt::format("pread {} at {}", size, offset));
  std::vector<char> buffer(size);
  return is(buffer.data(), ::pread(fd_.get(), buffer.data(), size, static_cast<off_t>(offset)),
            expected(offset, size));
}

bool RandomReader::preadv() {
  const std::uint64_t offset = some_offset();
  std::vector<std::vector<char>> buffers(1 + below(5));
  std::vector<iovec> vectors;
  std::size_t size = 0;
  for (auto& buffer : buffers) {
    buffer.resize(some_size() / buffers.size());
    vectors.push_back({buffer.data(), buffer.size()});
    size += buffer.size();
  }
  note(fmt::format("preadv {} in {} at {}", size, buffers.size(), offset));
  const ssize_t n = ::preadv(fd_.get(), vectors.data(), static_cast<int>(vectors.size()),
                             static_cast<off_t>(offset));
  std::string joined;
  for (const auto& buffer : buffers) joined.append(buffer.data(), buffer.size());
  return is(joined.data(), n, expected(offset, size));
}

// Past the page cache, as the kernel wants it: whole pages.
bool RandomReader::read_direct() {
  const std::size_t size = (1 + some_size() / kPage) * kPage;
  const std::uint64_t offset = some_offset() / kPage * kPage;
  note(fmt::format("O_DIRECT pread {} at {}", size, offset));
  const UniqueFd direct{::open(path_.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)};
  const std::unique_ptr<void, decltype(&std::free)> buffer{std::aligned_alloc(kPage, size),
                                                           std::free};
  return is(buffer.get(), ::pread(direct.get(), buffer.get(), size, static_cast<off_t>(offset)),
            expected(offset, size));
}

bool RandomReader::seek() {
  const auto size = static_cast<off_t>(content_.size());
  const auto target = static_cast<off_t>(some_offset());
  const auto now = static_cast<off_t>(position_);
  const std::array<std::pair<int, off_t>, 3> ways = {
      {{SEEK_SET, target}, {SEEK_CUR, target - now}, {SEEK_END, target - size}}};
  const auto [whence, offset] = ways[below(3)];
  note(fmt::format("lseek {} by {} from {}", whence, offset, now));
  position_ = static_cast<std::uint64_t>(target);
  return ::lseek(fd_.get(), offset, whence) == target && ::lseek(fd_.get(), 0, SEEK_CUR) == target;
}

// All is data, and the only hole is at the end: what file systems without holes say. It moves the
// position.
bool RandomReader::seek_hole() {
  const std::uint64_t offset = some_offset();
  const int whence = below(2) == 0 ? SEEK_DATA : SEEK_HOLE;
  note(fmt::format("lseek {} to {}", whence == SEEK_DATA ? "SEEK_DATA" : "SEEK_HOLE", offset));
  const off_t found = ::lseek(fd_.get(), static_cast<off_t>(offset), whence);
  if (offset >= content_.size()) return found < 0 && errno == ENXIO;
  position_ = whence == SEEK_DATA ? offset : content_.size();
  return found == static_cast<off_t>(position_);
}

// Shared where the kernel allows it: it does not for what goes past its cache.
bool RandomReader::map() {
  if (content_.empty()) return true;
  const std::uint64_t offset = below(content_.size()) / kPage * kPage;
  const std::size_t size = 1 + below(std::min<std::uint64_t>(content_.size() - offset, kLargest));
  const bool wants_shared = below(2) == 0;
  note(fmt::format("mmap {} at {}{}", size, offset, wants_shared ? ", shared" : ""));
  void* at = MAP_FAILED;
  for (const int sharing : {wants_shared ? MAP_SHARED : MAP_PRIVATE, MAP_PRIVATE}) {
    if (at == MAP_FAILED) {
      at = ::mmap(nullptr, size, PROT_READ, sharing, fd_.get(), static_cast<off_t>(offset));
    }
  }
  if (at == MAP_FAILED) return false;
  const bool right = is(at, static_cast<ssize_t>(size), expected(offset, size));
  ::munmap(at, size);
  return right;
}

bool RandomReader::send() {
  std::uint64_t offset = some_offset();
  const std::size_t size = 1 + some_size() % 60'000;  // as much as the pipe holds
  note(fmt::format("sendfile {} at {}", size, offset));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  const UniqueFd out{ends[0]}, in{ends[1]};
  std::string sent;
  const std::string_view right = expected(offset, size);
  auto from = static_cast<off_t>(offset);
  // It may send less; what it sends must be right, and some of it.
  while (sent.size() < right.size()) {
    const ssize_t n = ::sendfile(in.get(), fd_.get(), &from, right.size() - sent.size());
    if (n <= 0) return false;
    std::string part(static_cast<std::size_t>(n), '\0');
    if (::read(out.get(), part.data(), part.size()) != n) return false;
    sent += part;
  }
  return sent == right;
}

bool RandomReader::advise() {
  const auto offset = static_cast<off_t>(some_offset());
  const std::size_t size = some_size();
  constexpr int advices[] = {POSIX_FADV_NORMAL,   POSIX_FADV_RANDOM,   POSIX_FADV_SEQUENTIAL,
                             POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE};
  if (below(4) == 0) {
    note(fmt::format("readahead {} at {}", size, offset));
    return ::readahead(fd_.get(), offset, size) == 0;
  }
  const int advice = advices[below(std::size(advices))];
  note(fmt::format("posix_fadvise {} of {} at {}", advice, size, offset));
  return ::posix_fadvise(fd_.get(), offset, static_cast<off_t>(size), advice) == 0;
}

bool RandomReader::reopen() {
  const int flags = O_RDONLY | (below(2) == 0 ? O_NONBLOCK : 0);
  note(fmt::format("close, open {:#x}", flags));
  open(flags);
  return true;
}

bool RandomReader::stat() {
  note("fstat");
  struct stat st {};
  return ::fstat(fd_.get(), &st) == 0 && st.st_size == static_cast<off_t>(content_.size());
}

}  // namespace ollamafs::test
