#include "store/base/write_calls.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cstdio>

namespace ollamafs {

const WriteCalls& WriteCalls::kernel() noexcept {
  static const WriteCalls calls;
  return calls;
}

int WriteCalls::openat(int directory, const char* path, int flags, mode_t mode) const noexcept {
  return ::openat(directory, path, flags, mode);
}

ssize_t WriteCalls::write(int fd, const void* bytes, std::size_t size) const noexcept {
  return ::write(fd, bytes, size);
}

ssize_t WriteCalls::pwrite(int fd, const void* bytes, std::size_t size,
                           std::uint64_t offset) const noexcept {
  return ::pwrite(fd, bytes, size, static_cast<off_t>(offset));
}

ssize_t WriteCalls::sendfile(int fd, int in, std::uint64_t offset,
                             std::size_t size) const noexcept {
  auto at = static_cast<off_t>(offset);
  return ::sendfile(fd, in, &at, size);
}

ssize_t WriteCalls::copy_file_range(int in, std::uint64_t offset, int fd,
                                    std::size_t size) const noexcept {
  auto at = static_cast<off_t>(offset);
  return ::copy_file_range(in, &at, fd, nullptr, size, 0);
}

int WriteCalls::fsync(int fd) const noexcept {
  return ::fsync(fd);
}

int WriteCalls::fdatasync(int fd) const noexcept {
  return ::fdatasync(fd);
}

int WriteCalls::fallocate(int fd, int mode, std::uint64_t offset,
                          std::uint64_t size) const noexcept {
  return ::fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(size));
}

int WriteCalls::linkat(int from_directory, const char* from, int to_directory, const char* to,
                       int flags) const noexcept {
  return ::linkat(from_directory, from, to_directory, to, flags);
}

int WriteCalls::renameat2(int from_directory, const char* from, int to_directory, const char* to,
                          unsigned flags) const noexcept {
  return ::renameat2(from_directory, from, to_directory, to, flags);
}

int WriteCalls::unlinkat(int directory, const char* path, int flags) const noexcept {
  return ::unlinkat(directory, path, flags);
}

int WriteCalls::mkdirat(int directory, const char* path, mode_t mode) const noexcept {
  return ::mkdirat(directory, path, mode);
}

int WriteCalls::fchown(int fd, uid_t uid, gid_t gid) const noexcept {
  return ::fchown(fd, uid, gid);
}

int WriteCalls::fchmod(int fd, mode_t mode) const noexcept {
  return ::fchmod(fd, mode);
}

int WriteCalls::futimens(int fd, const timespec (&times)[2]) const noexcept {
  return ::futimens(fd, times);
}

int WriteCalls::fstatvfs(int fd, struct statvfs& room) const noexcept {
  return ::fstatvfs(fd, &room);
}

int WriteCalls::fstatfs(int fd, struct statfs& kind) const noexcept {
  return ::fstatfs(fd, &kind);
}

}  // namespace ollamafs
