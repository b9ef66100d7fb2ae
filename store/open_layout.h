#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include "store/blob_pool.h"
#include "store/layout.h"

namespace ollamafs {

// A Layout whose blobs are open: a file that can be read. Immutable; several threads may read.
class OpenLayout {
 public:
  // `blobs` are the open blobs of Layout::blobs(), in that order, each of the size that the layout
  // reads from it.
  OpenLayout(Layout layout, std::vector<std::shared_ptr<const OpenBlob>> blobs)
      : layout_{std::move(layout)}, blobs_{std::move(blobs)} {}

  [[nodiscard]] const Layout& layout() const noexcept { return layout_; }

  // Why a read failed, and the blob that failed.
  struct Failure {
    std::error_code error;
    Digest blob;
  };

  // Copies the `size` bytes from `offset` on to `out`; the range must lie within the file. All of
  // them, or a failure: a range that holds one byte that cannot be had is refused whole.
  [[nodiscard]] std::optional<Failure> read(char* out, std::size_t size,
                                            std::uint64_t offset) const noexcept;

 private:
  Layout layout_;
  std::vector<std::shared_ptr<const OpenBlob>> blobs_;
};

}  // namespace ollamafs
