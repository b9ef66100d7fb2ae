#include "store/layout/gathered.h"

#include <cstring>
#include <utility>

namespace ollamafs {
namespace {

// Below this a copy costs less than a mapping.
constexpr std::size_t kMapFrom = 64u << 10;

}  // namespace

void Gathered::reset(std::size_t size) {
  release();
  if (copied_.size() < size) copied_.resize(size);
}

void Gathered::release() noexcept {
  pieces_.clear();
  mapped_.clear();
  used_ = size_ = 0;
}

// Neighbours that are copied make one piece.
char* Gathered::room_for(std::size_t size) {
  char* const room = copied_.data() + used_;
  if (!pieces_.empty() &&
      static_cast<char*>(pieces_.back().iov_base) + pieces_.back().iov_len == room) {
    pieces_.back().iov_len += size;
  } else {
    pieces_.push_back({room, size});
  }
  used_ += size;
  size_ += size;
  return room;
}

void Gathered::add(const char* bytes, std::size_t size) {
  std::memcpy(room_for(size), bytes, size);
}

std::error_code Gathered::add(const OpenBlob& blob, MapWindow& window, std::size_t size,
                              std::uint64_t offset) {
  if (size < kMapFrom || blob.descriptor() < 0 || !blob.may_be_mapped())
    return blob.read(room_for(size), size, offset);
  std::error_code ec;
  MapWindow::Range range = window.map(blob, size, offset, ec);
  // There are file systems that do not map, as FUSE's with direct_io. If it is the blob, reading it
  // tells.
  if (ec) return blob.read(room_for(size), size, offset);
  pieces_.push_back({range.data, size});
  mapped_.push_back(std::move(range.holder));
  size_ += size;
  return {};
}

}  // namespace ollamafs
