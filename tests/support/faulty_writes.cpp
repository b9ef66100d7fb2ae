#include "tests/support/faulty_writes.h"

#include <algorithm>
#include <cerrno>

namespace ollamafs::test {

void WriteFaultPlan::fail(unsigned which, int with, std::uint64_t nth,
                          std::uint64_t times) noexcept {
  calls = 0;
  error = with;
  first = nth;
  count = times;
  seen = injected = 0;
  calls = which;
}

void WriteFaultPlan::shorten(std::uint64_t nth, std::uint64_t times) noexcept {
  fail(write_call::kWrites, 0, nth, times);
}

bool FaultyWrites::strikes(unsigned which) const noexcept {
  if ((plan_.calls & which) == 0) return false;
  const std::uint64_t number = ++plan_.seen;
  if (number < plan_.first || number - plan_.first >= plan_.count) return false;
  ++plan_.injected;
  return true;
}

bool FaultyWrites::fails(unsigned which) const noexcept {
  if (!strikes(which)) return false;
  errno = plan_.error;
  return true;
}

int FaultyWrites::openat(int directory, const char* path, int flags, mode_t mode) const noexcept {
  return fails(write_call::kOpenat) ? -1 : WriteCalls::openat(directory, path, flags, mode);
}

ssize_t FaultyWrites::write(int fd, const void* bytes, std::size_t size) const noexcept {
  if (!strikes(write_call::kWrite)) return WriteCalls::write(fd, bytes, size);
  if (plan_.error == 0) return WriteCalls::write(fd, bytes, std::min<std::size_t>(size, 1));
  errno = plan_.error;
  return -1;
}

ssize_t FaultyWrites::pwrite(int fd, const void* bytes, std::size_t size,
                             std::uint64_t offset) const noexcept {
  if (!strikes(write_call::kPwrite)) return WriteCalls::pwrite(fd, bytes, size, offset);
  if (plan_.error == 0)
    return WriteCalls::pwrite(fd, bytes, std::min<std::size_t>(size, 1), offset);
  errno = plan_.error;
  return -1;
}

ssize_t FaultyWrites::sendfile(int fd, int in, std::uint64_t offset,
                               std::size_t size) const noexcept {
  return fails(write_call::kSendfile) ? -1 : WriteCalls::sendfile(fd, in, offset, size);
}

ssize_t FaultyWrites::copy_file_range(int in, std::uint64_t offset, int fd,
                                      std::size_t size) const noexcept {
  return fails(write_call::kCopyFileRange) ? -1 : WriteCalls::copy_file_range(in, offset, fd, size);
}

int FaultyWrites::fsync(int fd) const noexcept {
  return fails(write_call::kFsync) ? -1 : WriteCalls::fsync(fd);
}

int FaultyWrites::fdatasync(int fd) const noexcept {
  return fails(write_call::kFdatasync) ? -1 : WriteCalls::fdatasync(fd);
}

int FaultyWrites::fallocate(int fd, int mode, std::uint64_t offset,
                            std::uint64_t size) const noexcept {
  return fails(write_call::kFallocate) ? -1 : WriteCalls::fallocate(fd, mode, offset, size);
}

int FaultyWrites::linkat(int from_directory, const char* from, int to_directory, const char* to,
                         int flags) const noexcept {
  if (fails(write_call::kLinkat)) return -1;
  return WriteCalls::linkat(from_directory, from, to_directory, to, flags);
}

int FaultyWrites::renameat2(int from_directory, const char* from, int to_directory, const char* to,
                            unsigned flags) const noexcept {
  if (fails(write_call::kRenameat2)) return -1;
  return WriteCalls::renameat2(from_directory, from, to_directory, to, flags);
}

int FaultyWrites::unlinkat(int directory, const char* path, int flags) const noexcept {
  return fails(write_call::kUnlinkat) ? -1 : WriteCalls::unlinkat(directory, path, flags);
}

int FaultyWrites::mkdirat(int directory, const char* path, mode_t mode) const noexcept {
  return fails(write_call::kMkdirat) ? -1 : WriteCalls::mkdirat(directory, path, mode);
}

int FaultyWrites::fchown(int fd, uid_t uid, gid_t gid) const noexcept {
  return fails(write_call::kFchown) ? -1 : WriteCalls::fchown(fd, uid, gid);
}

int FaultyWrites::fchmod(int fd, mode_t mode) const noexcept {
  return fails(write_call::kFchmod) ? -1 : WriteCalls::fchmod(fd, mode);
}

int FaultyWrites::futimens(int fd, const timespec (&times)[2]) const noexcept {
  return fails(write_call::kFutimens) ? -1 : WriteCalls::futimens(fd, times);
}

int FaultyWrites::fstatvfs(int fd, struct statvfs& room) const noexcept {
  return fails(write_call::kFstatvfs) ? -1 : WriteCalls::fstatvfs(fd, room);
}

}  // namespace ollamafs::test
