#include "store/transfer/byte_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace ollamafs {
namespace {

constexpr std::size_t kBuffer = 256u << 10;  // stays in the processor's cache until it is copied on

}  // namespace

ByteStream::ByteStream(std::vector<UniqueFd> parts, std::vector<std::string> names,
                       Progress& progress)
    : parts_{std::move(parts)}, names_{std::move(names)}, progress_{&progress}, buffer_(kBuffer) {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    struct stat st {};
    if (::fstat(parts_[i].get(), &st) != 0) {
      throw std::system_error{errno, std::generic_category(), names_[i]};
    }
    is_seekable_ = is_seekable_ && S_ISREG(st.st_mode);
    starts_.push_back(size_);
    size_ += static_cast<std::uint64_t>(st.st_size);
    (void)::posix_fadvise(parts_[i].get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  // `import - < file` may stand anywhere in it.
  if (parts_.size() == 1 && is_seekable_ && ::lseek(parts_.front().get(), 0, SEEK_CUR) != 0) {
    is_seekable_ = false;
  }
}

// A signal may reach another thread, or come just before the call that it should end: so the wait
// is cut into short ones.
void ByteStream::wait_for_bytes(int fd) {
  constexpr int wait_ms = 200;
  pollfd readable{fd, POLLIN, 0};
  int ready = 0;
  while (ready <= 0) {
    progress_->add(0);
    ready = ::poll(&readable, 1, wait_ms);
    if (ready < 0 && errno != EINTR && errno != EAGAIN) return;  // read(2) will say what it is
  }
}

std::size_t ByteStream::read_some(char* out, std::size_t size) {
  while (part_ < parts_.size()) {
    const int fd = parts_[part_].get();
    wait_for_bytes(fd);
    const ssize_t n = is_seekable_
                          ? ::pread(fd, out, size, static_cast<off_t>(position_ - starts_[part_]))
                          : ::read(fd, out, size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) throw std::system_error{errno, std::generic_category(), names_[part_]};
    if (n > 0) {
      position_ += static_cast<std::size_t>(n);
      return static_cast<std::size_t>(n);
    }
    ++part_;
    if (is_seekable_ && part_ < parts_.size()) position_ = starts_[part_];
  }
  return 0;
}

std::string_view ByteStream::peek(std::size_t size) {
  while (peeked_ < size) {
    const std::size_t n = read_some(buffer_.data() + peeked_, size - peeked_);
    if (n == 0) break;
    peeked_ += n;
  }
  return {buffer_.data(), std::min(size, peeked_)};
}

std::span<const char> ByteStream::read() {
  if (const std::size_t n = std::exchange(peeked_, 0)) return {buffer_.data(), n};
  return {buffer_.data(), read_some(buffer_.data(), buffer_.size())};
}

void ByteStream::seek(std::uint64_t position) {
  peeked_ = 0;
  position_ = position;
  const auto after = std::ranges::upper_bound(starts_, position);
  part_ = static_cast<std::size_t>(after - starts_.begin()) - 1;
}

}  // namespace ollamafs
