#include "store/layout/map_window.h"

#include <algorithm>
#include <utility>

namespace ollamafs {

MapWindow::Range MapWindow::map(const OpenBlob& blob, std::size_t size, std::uint64_t offset,
                                std::error_code& ec) {
  ec = blob.check();
  if (ec) return {};
  std::shared_ptr<const MappedRange> last;  // unmapped behind the lock
  const std::scoped_lock lock{mutex_};
  if (!window_ || blob_ != &blob || offset < start_ || size > end_ - std::min(offset, end_)) {
    const std::uint64_t rest = blob.size() - std::min(offset, blob.size());
    const std::uint64_t length = std::max<std::uint64_t>(size, std::min(kSize, rest));
    auto window =
        std::make_shared<const MappedRange>(blob.map(static_cast<std::size_t>(length), offset, ec));
    if (ec) return {};
    last = std::exchange(window_, std::move(window));
    blob_ = &blob;
    start_ = offset;
    end_ = offset + length;
  }
  return {window_, static_cast<char*>(window_->data()) + (offset - start_)};
}

}  // namespace ollamafs
