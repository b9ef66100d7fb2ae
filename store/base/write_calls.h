#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/vfs.h>

#include <cstddef>
#include <cstdint>
#include <ctime>

namespace ollamafs {

// The system calls that write files: what FileCalls is for reading. Whatever is written into a
// store goes through the one that its writer was given, so that a test can let any of them fail
// (tests/support/faulty_writes.h): the disk is full at the third blob, say. This one makes them.
//
// Each returns what the system call of its name returns, and leaves errno as that does: none goes
// on after EINTR, and a write may write less than it was given. Safe to use from several threads.
class WriteCalls {
 public:
  virtual ~WriteCalls() = default;

  // The kernel itself; lives as long as the program.
  [[nodiscard]] static const WriteCalls& kernel() noexcept;

  // With O_CREAT or O_TMPFILE; `mode` without what the umask takes away.
  [[nodiscard]] virtual int openat(int directory, const char* path, int flags,
                                   mode_t mode) const noexcept;
  [[nodiscard]] virtual ssize_t write(int fd, const void* bytes, std::size_t size) const noexcept;
  [[nodiscard]] virtual ssize_t pwrite(int fd, const void* bytes, std::size_t size,
                                       std::uint64_t offset) const noexcept;

  // From `in`, at `offset`, to where `fd` stands, and from file to file, without a buffer of ours.
  // Each says how many bytes, 0 if `in` ends there, and EINVAL and others where it cannot.
  [[nodiscard]] virtual ssize_t sendfile(int fd, int in, std::uint64_t offset,
                                         std::size_t size) const noexcept;
  [[nodiscard]] virtual ssize_t copy_file_range(int in, std::uint64_t offset, int fd,
                                                std::size_t size) const noexcept;

  // Both also tell of an earlier write that could not reach the disk.
  [[nodiscard]] virtual int fsync(int fd) const noexcept;
  [[nodiscard]] virtual int fdatasync(int fd) const noexcept;

  // `mode` has FALLOC_FL_ flags; EOPNOTSUPP where the file system cannot.
  [[nodiscard]] virtual int fallocate(int fd, int mode, std::uint64_t offset,
                                      std::uint64_t size) const noexcept;

  // With AT_SYMLINK_FOLLOW and "/proc/self/fd/N" a file that O_TMPFILE made gets its name.
  [[nodiscard]] virtual int linkat(int from_directory, const char* from, int to_directory,
                                   const char* to, int flags) const noexcept;

  // `flags` are RENAME_NOREPLACE and the like.
  [[nodiscard]] virtual int renameat2(int from_directory, const char* from, int to_directory,
                                      const char* to, unsigned flags) const noexcept;
  [[nodiscard]] virtual int unlinkat(int directory, const char* path, int flags) const noexcept;
  [[nodiscard]] virtual int mkdirat(int directory, const char* path, mode_t mode) const noexcept;

  [[nodiscard]] virtual int fchown(int fd, uid_t uid, gid_t gid) const noexcept;
  [[nodiscard]] virtual int fchmod(int fd, mode_t mode) const noexcept;

  // Access and modification time.
  [[nodiscard]] virtual int futimens(int fd, const timespec (&times)[2]) const noexcept;

  // How much room there is.
  [[nodiscard]] virtual int fstatvfs(int fd, struct statvfs& room) const noexcept;

  // What kind of file system it is.
  [[nodiscard]] virtual int fstatfs(int fd, struct statfs& kind) const noexcept;
};

}  // namespace ollamafs
