#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <vector>

#include "store/blobs/blob_pool.h"
#include "store/layout/map_window.h"

namespace ollamafs {

// Bytes in pieces, as for writev(2), and what holds them. Meant to be used again and again by one
// thread: a fresh buffer would be page-faulted for every reply. Only for a system call to read, see
// MappedRange.
class Gathered {
 public:
  // Empties it and makes room for `size` bytes, the most that may be added.
  void reset(std::size_t size);

  // Lets go of all mappings, after which the pieces are gone.
  void release() noexcept;

  void add(const char* bytes, std::size_t size);

  // The `size` bytes of a blob from `offset` on, as OpenBlob::read: all of them or an error. Large
  // ranges are not copied but mapped, through the reader's window, where they can be and nothing is
  // to be verified.
  [[nodiscard]] std::error_code add(const OpenBlob& blob, MapWindow& window, std::size_t size,
                                    std::uint64_t offset);

  [[nodiscard]] std::span<const iovec> pieces() const noexcept { return pieces_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }  // bytes

 private:
  [[nodiscard]] char* room_for(std::size_t size);

  std::vector<iovec> pieces_;
  std::vector<std::shared_ptr<const MappedRange>> mapped_;
  std::vector<char> copied_;
  std::size_t used_ = 0;  // of copied_
  std::size_t size_ = 0;
};

}  // namespace ollamafs
