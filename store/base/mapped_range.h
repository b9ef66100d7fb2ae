#pragma once

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include "store/base/file_calls.h"

namespace ollamafs {

// A range of a file, mapped for a system call that reads it, such as writev(2). This process must
// not touch it: where the file was cut short meanwhile that is SIGBUS, to the system call EFAULT.
class MappedRange {
 public:
  // Maps [offset, offset + size) of `fd`, which may be closed afterwards. `ec` is what mmap(2)
  // says.
  MappedRange(const FileCalls& calls, int fd, std::uint64_t offset, std::size_t size,
              std::error_code& ec) noexcept;
  MappedRange(MappedRange&& other) noexcept
      : start_{std::exchange(other.start_, nullptr)}, mapped_{other.mapped_}, skip_{other.skip_} {}
  MappedRange& operator=(MappedRange&&) = delete;
  ~MappedRange();

  // Where the byte at `offset` is.
  [[nodiscard]] void* data() const noexcept { return static_cast<char*>(start_) + skip_; }

 private:
  void* start_ = nullptr;  // of the page that holds the first byte
  std::size_t mapped_ = 0;
  std::size_t skip_ = 0;
};

}  // namespace ollamafs
