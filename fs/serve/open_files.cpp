#include "fs/serve/open_files.h"

#include <algorithm>
#include <optional>

#include "store/layout/open_archive.h"

namespace ollamafs {

std::shared_ptr<const OpenLayout> OpenFiles::content_of(const NodeRef& file, std::error_code& ec) {
  ec.clear();
  if (auto open = known(file)) return open;
  std::optional<OpenLayout::Failure> failure;
  auto content =
      open_layout(pool_, file.tree->catalog_of(*file), file->recipe(*file.tree, *file), failure);
  if (failure) {
    ec = health_.failed(*failure);
    return nullptr;
  }
  const std::scoped_lock lock{mutex_};
  std::erase_if(contents_, [](const auto& entry) { return entry.second.expired(); });
  contents_.insert_or_assign(file->ino, content);
  return content;
}

// A blob's number is its digest's: after a change another file may be behind it.
std::shared_ptr<const OpenLayout> OpenFiles::known(const NodeRef& file) {
  std::shared_ptr<const OpenLayout> open;
  {
    const std::scoped_lock lock{mutex_};
    const auto it = contents_.find(file->ino);
    if (it != contents_.end()) open = it->second.lock();
  }
  return open && is_current(*open, file.tree->catalog_of(*file)) ? open : nullptr;
}

std::size_t OpenFiles::read(const OpenFile& file, char* out, std::size_t size, std::uint64_t offset,
                            std::error_code& ec) {
  ec.clear();
  const std::uint64_t total = file.content->layout().size();
  size = static_cast<std::size_t>(std::min<std::uint64_t>(size, total - std::min(offset, total)));
  if (const auto failure = file.content->read(out, size, offset)) ec = health_.failed(*failure);
  if (ec) return 0;
  bytes_read_.fetch_add(size, std::memory_order_relaxed);
  return size;
}

bool OpenFiles::verify_on(const OpenLayout& content, std::size_t size, std::uint64_t offset,
                          std::error_code& ec) {
  constexpr std::uint64_t piece = 4u << 20;
  ec.clear();
  bool more = false;
  if (const auto failure = content.verify_on(size, offset, piece, more))
    ec = health_.failed(*failure);
  return more && !ec;
}

// Once per chunk, for the next two: asking costs something even if all of it is in memory.
std::uint64_t OpenFiles::ahead_of(OpenFile& file, std::size_t size, std::uint64_t offset) noexcept {
  constexpr std::uint64_t chunk = 4u << 20;
  const std::uint64_t end = offset + size;
  const bool straight_on = file.next.exchange(end) == offset;
  return straight_on && (offset == 0 || offset / chunk != end / chunk) ? 2 * chunk : 0;
}

}  // namespace ollamafs
