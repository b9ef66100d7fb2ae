#include "store/base/file_calls.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ollamafs {

const FileCalls& FileCalls::kernel() noexcept {
  static const FileCalls calls;
  return calls;
}

int FileCalls::openat2(int directory, const char* path, int flags,
                       std::uint64_t resolve) const noexcept {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = resolve;
  return static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how));
}

int FileCalls::openat(int directory, const char* path, int flags) const noexcept {
  return ::openat(directory, path, flags);
}

int FileCalls::fstat(int fd, struct stat& st) const noexcept {
  return ::fstat(fd, &st);
}

int FileCalls::readable(int fd) const noexcept {
  return static_cast<int>(::syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH | AT_EACCESS));
}

ssize_t FileCalls::readlink(int fd, char* target, std::size_t size) const noexcept {
  return ::readlinkat(fd, "", target, size);
}

const dirent* FileCalls::readdir(DIR* directory) const noexcept {
  return ::readdir(directory);
}

ssize_t FileCalls::pread(int fd, char* out, std::size_t size, std::uint64_t offset) const noexcept {
  return ::pread(fd, out, size, static_cast<off_t>(offset));
}

}  // namespace ollamafs
