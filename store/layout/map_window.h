#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <system_error>

#include "store/base/mapped_range.h"
#include "store/blobs/blob_pool.h"

namespace ollamafs {

// Maps the ranges that one reader asks for by windows larger than them, so that a reader who goes
// straight on pays for a mapping once per window. Holds one window, the last: what is behind the
// reader is unmapped. Safe to use from several threads.
class MapWindow {
 public:
  static constexpr std::uint64_t kSize = 16u << 20;  // bytes; wider ones were not faster

  // A range that is mapped for as long as `holder` lives. As with MappedRange, only a system call
  // may touch it.
  struct Range {
    std::shared_ptr<const MappedRange> holder;
    void* data = nullptr;
  };

  // The `size` bytes of `blob` from `offset` on; it must have a descriptor, and must live as long
  // as this. Errors as of OpenBlob::map.
  [[nodiscard]] Range map(const OpenBlob& blob, std::size_t size, std::uint64_t offset,
                          std::error_code& ec);

 private:
  std::mutex mutex_;
  const OpenBlob* blob_ = nullptr;
  std::uint64_t start_ = 0;  // of the window in the blob
  std::uint64_t end_ = 0;
  std::shared_ptr<const MappedRange> window_;
};

}  // namespace ollamafs
