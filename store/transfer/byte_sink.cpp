#include "store/transfer/byte_sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

// A pipe holds 64 KiB, unless it is asked to hold more; any user may have 1 MiB
// (pipe-max-size in proc_sys_fs(5)). The writer and the reader then take turns less often.
constexpr int kPipeSize = 1 << 20;

}  // namespace

DescriptorSink::DescriptorSink(int fd, std::string name, const WriteCalls& calls,
                               Progress& progress)
    : fd_{fd}, name_{std::move(name)}, calls_{calls}, progress_{progress} {
  // Fails for what is no pipe, and where the user has many: then it is as large as it is.
  if (::fcntl(fd_, F_GETPIPE_SZ) < kPipeSize) ::fcntl(fd_, F_SETPIPE_SZ, kPipeSize);
}

void DescriptorSink::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = calls_.write(fd_, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (const int error = errno; !may_go_on(error)) {
      throw_write_failure(name_, error);
    }
  }
}

std::uint64_t DescriptorSink::send(int fd, std::uint64_t offset, std::uint64_t size) {
  for (;;) {
    const ssize_t sent = calls_.sendfile(fd_, fd, offset, size);
    if (sent >= 0) return static_cast<std::uint64_t>(sent);
    // Whatever else it is: whether the reading fails or the writing, each of them says itself.
    if (!may_go_on(errno)) return 0;
  }
}

// After a call that wrote nothing. Throws Interrupted.
bool DescriptorSink::may_go_on(int error) {
  if (error != EINTR && error != EAGAIN) return false;
  progress_.add(0);
  if (error == EINTR) return true;
  pollfd wait{fd_, POLLOUT, 0};
  ::poll(&wait, 1, -1);
  progress_.add(0);
  return true;
}

void throw_write_failure(const std::string& name, int error) {
  using Kind = TransferError::Kind;
  switch (error) {
    case EPIPE:
      throw TransferError{Kind::failed,
                          fmt::format("{}: who was reading it has ended, before the end", name)};
    case ENOSPC:
    case EDQUOT:
      throw TransferError{Kind::no_space, fmt::format("{}: the disk has become full", name)};
    case EFBIG:
      throw TransferError{Kind::failed,
                          fmt::format("{}: its file system takes no file as large as that", name)};
    default:
      throw TransferError{Kind::failed,
                          fmt::format("{}: {}", name, std::generic_category().message(error))};
  }
}

}  // namespace ollamafs
