#include "store/open_layout.h"

#include <cstring>

namespace ollamafs {

std::optional<OpenLayout::Failure> OpenLayout::read(char* out, std::size_t size,
                                                    std::uint64_t offset) const noexcept {
  std::optional<Failure> failure;
  layout_.for_each_in(
      offset, size, [&](const Segment& segment, std::uint64_t at, std::uint64_t length) {
        if (failure) return;
        const std::uint64_t source = segment.source + at;
        if (segment.is_generated()) {
          std::memcpy(out, layout_.generated().data() + source, length);
        } else if (const auto ec = blobs_[segment.blob]->read(out, length, source)) {
          failure = {ec, blobs_[segment.blob]->digest()};
        }
        out += length;
      });
  return failure;
}

}  // namespace ollamafs
