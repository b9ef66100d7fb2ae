#include "store/layout/open_layout.h"

#include <algorithm>
#include <cstring>

namespace ollamafs {

bool OpenLayout::reads(std::span<const Blob* const> blobs) const noexcept {
  return std::ranges::equal(blobs_, blobs, [](const auto& open, const Blob* blob) {
    return open->digest() == blob->digest && same_file(open->identity(), blob->identity);
  });
}

const OpenBlob* OpenLayout::sole_blob() const noexcept {
  const auto segments = layout_.segments();
  if (segments.size() != 1 || segments[0].is_generated() || segments[0].source != 0) return nullptr;
  const OpenBlob* const blob = blobs_[segments[0].blob].get();
  return blob->size() == segments[0].size ? blob : nullptr;
}

int OpenLayout::sole_descriptor() const noexcept {
  const OpenBlob* blob = sole_blob();
  return blob ? blob->descriptor() : -1;
}

Caching OpenLayout::enter_cache() const {
  const OpenBlob* blob = sole_blob();
  return blob ? blob->enter_cache() : Caching::keep;
}

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
          failure = {ec, blobs_[segment.blob]->digest(), blobs_[segment.blob]->identity()};
        }
        out += length;
      });
  return failure;
}

std::optional<OpenLayout::Failure> OpenLayout::verify_on(std::size_t size, std::uint64_t offset,
                                                         std::uint64_t most, bool& more) const {
  std::optional<Failure> failure;
  more = false;
  layout_.for_each_in(offset, size,
                      [&](const Segment& segment, std::uint64_t at, std::uint64_t length) {
                        if (more || segment.is_generated()) return;
                        const OpenBlob& blob = *blobs_[segment.blob];
                        if (segment.source + at + length != blob.size() || !blob.lacks_verdict())
                          return;
                        more = true;
                        if (const auto ec = blob.verify_on(most))
                          failure = {ec, blob.digest(), blob.identity()};
                      });
  return failure;
}

void OpenLayout::prefetch(std::uint64_t offset, std::uint64_t size) const noexcept {
  layout_.for_each_in(offset, size,
                      [&](const Segment& segment, std::uint64_t at, std::uint64_t length) {
                        if (!segment.is_generated())
                          blobs_[segment.blob]->prefetch(segment.source + at, length);
                      });
}

std::vector<OpenLayout::Failure> OpenLayout::check() const {
  std::vector<Failure> failures;
  for (const auto& blob : blobs_) {
    if (const auto ec = blob->check()) failures.push_back({ec, blob->digest(), blob->identity()});
  }
  return failures;
}

}  // namespace ollamafs
