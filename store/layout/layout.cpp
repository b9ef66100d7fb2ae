#include "store/layout/layout.h"

#include <stdexcept>
#include <utility>

namespace ollamafs {

Layout::Builder& Layout::Builder::generated(std::string_view bytes) {
  append(bytes.size(), Segment::kGenerated, layout_.generated_.size());
  layout_.generated_ += bytes;
  return *this;
}

Layout::Builder& Layout::Builder::zeros(std::uint64_t count) {
  append(count, Segment::kGenerated, layout_.generated_.size());
  layout_.generated_.append(count, '\0');
  return *this;
}

Layout::Builder& Layout::Builder::blob(const Digest& digest, std::uint64_t size,
                                       std::uint64_t source) {
  layout_.blobs_.push_back(digest);
  append(size, static_cast<std::uint32_t>(layout_.blobs_.size() - 1), source);
  return *this;
}

void Layout::Builder::append(std::uint64_t size, std::uint32_t blob, std::uint64_t source) {
  constexpr std::uint64_t max = std::numeric_limits<std::int64_t>::max();
  if (size > max - layout_.size_) throw std::overflow_error{"a file of more than 2^63 - 1 bytes"};
  if (size == 0) return;
  auto& segments = layout_.segments_;
  if (blob == Segment::kGenerated && !segments.empty() && segments.back().is_generated()) {
    segments.back().size += size;
  } else {
    segments.push_back({layout_.size_, size, blob, source});
  }
  layout_.size_ += size;
}

Layout Layout::Builder::finish() && {
  return std::move(layout_);
}

Layout slice(const Layout& whole, std::uint64_t offset, std::uint64_t size) {
  Layout::Builder part;
  whole.for_each_in(offset, size,
                    [&](const Segment& segment, std::uint64_t at, std::uint64_t length) {
                      const std::uint64_t source = segment.source + at;
                      if (segment.is_generated()) {
                        part.generated(whole.generated().substr(source, length));
                      } else {
                        part.blob(whole.blobs()[segment.blob], length, source);
                      }
                    });
  return std::move(part).finish();
}

}  // namespace ollamafs
