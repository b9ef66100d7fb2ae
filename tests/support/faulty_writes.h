#pragma once

#include <atomic>
#include <cstdint>

#include "store/base/write_calls.h"

namespace ollamafs::test {

// The calls of WriteCalls, to be or-ed.
namespace write_call {
inline constexpr unsigned kOpenat = 1, kWrite = 2, kPwrite = 4, kFsync = 8, kFdatasync = 16,
                          kFallocate = 32, kLinkat = 64, kRenameat2 = 128, kUnlinkat = 256,
                          kMkdirat = 512, kFchown = 1024, kFchmod = 2048, kFutimens = 4096,
                          kFstatvfs = 8192, kSendfile = 16384, kCopyFileRange = 32768;
inline constexpr unsigned kWrites = kWrite | kPwrite, kSyncs = kFsync | kFdatasync, kAll = 65535;
}  // namespace write_call

// Which writing calls go wrong, and how. Has no pointers, so that it may lie in memory that a test
// shares with the process that it tests.
struct WriteFaultPlan {
  // From now on of these calls the `nth`, counted from 1, and the `times` - 1 behind it fail with
  // `error`. Replaces what was planned before.
  void fail(unsigned which, int error, std::uint64_t nth = 1, std::uint64_t times = 1) noexcept;

  // As fail(), but write and pwrite write one byte instead of many: a full disk does that before
  // it says ENOSPC.
  void shorten(std::uint64_t nth = 1, std::uint64_t times = 1) noexcept;

  // From now on none fails.
  void clear() noexcept { fail(0, 0); }

  std::atomic<unsigned> calls = 0;          // those that may go wrong: write_call::
  std::atomic<int> error = 0;               // 0: they write one byte
  std::atomic<std::uint64_t> first = 1;     // the number of the first that does
  std::atomic<std::uint64_t> count = 0;     // how many do
  std::atomic<std::uint64_t> seen = 0;      // calls that might have gone wrong, since the planning
  std::atomic<std::uint64_t> injected = 0;  // calls that did
};

// The kernel's, but for what the plan, which must outlive this, lets go wrong. A call that fails
// has not been made.
class FaultyWrites final : public WriteCalls {
 public:
  explicit FaultyWrites(WriteFaultPlan& plan) : plan_{plan} {}

  [[nodiscard]] int openat(int directory, const char* path, int flags,
                           mode_t mode) const noexcept override;
  [[nodiscard]] ssize_t write(int fd, const void* bytes, std::size_t size) const noexcept override;
  [[nodiscard]] ssize_t pwrite(int fd, const void* bytes, std::size_t size,
                               std::uint64_t offset) const noexcept override;
  [[nodiscard]] ssize_t sendfile(int fd, int in, std::uint64_t offset,
                                 std::size_t size) const noexcept override;
  [[nodiscard]] ssize_t copy_file_range(int in, std::uint64_t offset, int fd,
                                        std::size_t size) const noexcept override;
  [[nodiscard]] int fsync(int fd) const noexcept override;
  [[nodiscard]] int fdatasync(int fd) const noexcept override;
  [[nodiscard]] int fallocate(int fd, int mode, std::uint64_t offset,
                              std::uint64_t size) const noexcept override;
  [[nodiscard]] int linkat(int from_directory, const char* from, int to_directory, const char* to,
                           int flags) const noexcept override;
  [[nodiscard]] int renameat2(int from_directory, const char* from, int to_directory,
                              const char* to, unsigned flags) const noexcept override;
  [[nodiscard]] int unlinkat(int directory, const char* path, int flags) const noexcept override;
  [[nodiscard]] int mkdirat(int directory, const char* path, mode_t mode) const noexcept override;
  [[nodiscard]] int fchown(int fd, uid_t uid, gid_t gid) const noexcept override;
  [[nodiscard]] int fchmod(int fd, mode_t mode) const noexcept override;
  [[nodiscard]] int futimens(int fd, const timespec (&times)[2]) const noexcept override;
  [[nodiscard]] int fstatvfs(int fd, struct statvfs& room) const noexcept override;

 private:
  [[nodiscard]] bool strikes(unsigned which) const noexcept;
  [[nodiscard]] bool fails(unsigned which) const noexcept;

  WriteFaultPlan& plan_;
};

}  // namespace ollamafs::test
