#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "store/blobs/blob_pool.h"
#include "store/layout/layout.h"

namespace ollamafs {

// A Layout whose blobs are open: a file that can be read. Immutable; several threads may read.
class OpenLayout {
 public:
  // `blobs` are the open blobs of Layout::blobs(), in that order, each of the size that the layout
  // reads from it.
  OpenLayout(Layout layout, std::vector<std::shared_ptr<const OpenBlob>> blobs)
      : layout_{std::move(layout)}, blobs_{std::move(blobs)} {}

  [[nodiscard]] const Layout& layout() const noexcept { return layout_; }

  // The open blobs of Layout::blobs(), in that order.
  [[nodiscard]] std::span<const std::shared_ptr<const OpenBlob>> blobs() const noexcept {
    return blobs_;
  }

  // True if it reads these blobs' files, as far as they were the same when they were opened.
  [[nodiscard]] bool reads(std::span<const Blob* const> blobs) const noexcept;

  // The descriptor of the one blob that this file consists of; -1 if it has more in it, or if the
  // blob has none.
  [[nodiscard]] int sole_descriptor() const noexcept;

  // Why a read failed, and the blob that failed.
  struct Failure {
    std::error_code error;
    Digest blob;
    FileIdentity file;  // that was read from
  };

  // Copies the `size` bytes from `offset` on to `out`; the range must lie within the file. All of
  // them, or a failure: a range that holds one byte that cannot be had is refused whole.
  [[nodiscard]] std::optional<Failure> read(char* out, std::size_t size,
                                            std::uint64_t offset) const noexcept;

  // Asks the kernel to have the blobs' parts of a range at hand soon.
  void prefetch(std::uint64_t offset, std::uint64_t size) const noexcept;

  // After BlobFault::unverified: hashes up to `most` bytes more of the first blob that ends within
  // the range and lacks its verdict; `more` tells whether there was one.
  [[nodiscard]] std::optional<Failure> verify_on(std::size_t size, std::uint64_t offset,
                                                 std::uint64_t most, bool& more) const;

  // As OpenBlob::enter_cache; of a file that is not one blob alone: keep.
  [[nodiscard]] Caching enter_cache() const;

  // The blobs whose open files are not what they were any more.
  [[nodiscard]] std::vector<Failure> check() const;

 private:
  [[nodiscard]] const OpenBlob* sole_blob() const noexcept;

  Layout layout_;
  std::vector<std::shared_ptr<const OpenBlob>> blobs_;
};

}  // namespace ollamafs
