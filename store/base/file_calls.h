#pragma once

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace ollamafs {

// The system calls that reach and read the files of a store. Everything that is read goes through
// the one that its StoreDir was given, so that a test can let any of them fail or take long
// (tests/support/faulty_calls.h). This one makes them.
//
// Each returns what the system call of its name returns, and leaves errno as that does. Safe to use
// from several threads.
class FileCalls {
 public:
  virtual ~FileCalls() = default;

  // The kernel itself; lives as long as the program.
  [[nodiscard]] static const FileCalls& kernel() noexcept;

  // openat2(2), which the C library has no wrapper for; `resolve` are its RESOLVE_ flags.
  [[nodiscard]] virtual int openat2(int directory, const char* path, int flags,
                                    std::uint64_t resolve) const noexcept;
  [[nodiscard]] virtual int openat(int directory, const char* path, int flags) const noexcept;
  [[nodiscard]] virtual int fstat(int fd, struct stat& st) const noexcept;

  // Whether the effective user may read the file: faccessat2(2) of the descriptor itself.
  [[nodiscard]] virtual int readable(int fd) const noexcept;

  // Of the symlink that an O_PATH descriptor stands for.
  [[nodiscard]] virtual ssize_t readlink(int fd, char* target, std::size_t size) const noexcept;
  [[nodiscard]] virtual const dirent* readdir(DIR* directory) const noexcept;
  [[nodiscard]] virtual ssize_t pread(int fd, char* out, std::size_t size,
                                      std::uint64_t offset) const noexcept;
};

}  // namespace ollamafs
