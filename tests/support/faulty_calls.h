#pragma once

#include <atomic>
#include <cstdint>

#include "store/base/file_calls.h"

namespace ollamafs::test {

// The calls of FileCalls, to be or-ed.
namespace call {
inline constexpr unsigned kOpenat2 = 1, kOpenat = 2, kFstat = 4, kReadable = 8, kReadlink = 16,
                          kReaddir = 32, kPread = 64;
inline constexpr unsigned kOpens = kOpenat2 | kOpenat, kAll = 127;
}  // namespace call

// Which calls go wrong, and how. Has no pointers, so that it may lie in memory that a test shares
// with the daemon that it tests. What it says counts from the next call on.
struct FaultPlan {
  enum class Kind : std::uint8_t {
    error,      // fails with `error`
    shortened,  // reads one byte only, if it reads
    cut,        // reads nothing, if it reads, as behind the end of a file that was cut short
  };

  std::atomic<unsigned> calls = 0;  // those that may go wrong: call::
  std::atomic<Kind> kind = Kind::error;
  std::atomic<int> error = 0;

  // Of those calls, `skip` are right, the next `count` may go wrong, and of these every `one_in`th,
  // as by chance, does.
  std::atomic<std::uint64_t> skip = 0;
  std::atomic<std::uint64_t> count = ~std::uint64_t{0};
  std::atomic<std::uint64_t> one_in = 1;

  std::atomic<unsigned> delayed = 0;   // calls that take so long first:
  std::atomic<unsigned> delay_us = 0;  // microseconds
  std::atomic<unsigned> held = 0;      // calls that do not come back as long as this says so

  // Of the program's allocations, how many there are to one that fails; 0: none does.
  std::atomic<std::uint64_t> allocations_to_one = 0;
  // The one allocation from now on that fails, counted from 1; 0: none.
  std::atomic<std::uint64_t> allocation_to_fail = 0;
  // Allocations of more bytes fail; 0: none does for its size.
  std::atomic<std::uint64_t> largest_allocation = 0;
  std::atomic<std::uint64_t> allocations_failed = 0;

  std::atomic<std::uint64_t> seen = 0;      // calls that might have gone wrong
  std::atomic<std::uint64_t> injected = 0;  // calls that did
  std::atomic<std::uint64_t> waiting = 0;   // calls that are held right now

  // From now on: none, or these.
  void clear();
  void fail(unsigned which, int with, std::uint64_t behind = 0,
            std::uint64_t times = ~std::uint64_t{0});

  // To be asked at every allocation: whether it fails.
  [[nodiscard]] bool takes_memory(std::uint64_t bytes) noexcept;

 private:
  std::atomic<std::uint64_t> allocations_ = 0;
};

// The kernel's, but for what the plan, which must outlive this, lets go wrong.
class FaultyCalls final : public FileCalls {
 public:
  explicit FaultyCalls(FaultPlan& plan) : plan_{plan} {}

  [[nodiscard]] int openat2(int directory, const char* path, int flags,
                            std::uint64_t resolve) const noexcept override;
  [[nodiscard]] int openat(int directory, const char* path, int flags) const noexcept override;
  [[nodiscard]] int fstat(int fd, struct stat& st) const noexcept override;
  [[nodiscard]] int readable(int fd) const noexcept override;
  [[nodiscard]] ssize_t readlink(int fd, char* target, std::size_t size) const noexcept override;
  [[nodiscard]] const dirent* readdir(DIR* directory) const noexcept override;
  [[nodiscard]] ssize_t pread(int fd, char* out, std::size_t size,
                              std::uint64_t offset) const noexcept override;

 private:
  [[nodiscard]] bool strikes(unsigned which) const noexcept;
  [[nodiscard]] bool fails(unsigned which) const noexcept;

  FaultPlan& plan_;
};

}  // namespace ollamafs::test
