#include "store/base/mapped_range.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace ollamafs {

MappedRange::MappedRange(const FileCalls& calls, int fd, std::uint64_t offset, std::size_t size,
                         std::error_code& ec) noexcept {
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  skip_ = static_cast<std::size_t>(offset % page);
  mapped_ = skip_ + size;
  void* start = calls.mmap(fd, mapped_, offset - skip_);
  if (start == MAP_FAILED) {
    ec = {errno, std::generic_category()};
  } else {
    start_ = start;
    ec.clear();
  }
}

MappedRange::~MappedRange() {
  if (start_) ::munmap(start_, mapped_);
}

}  // namespace ollamafs
