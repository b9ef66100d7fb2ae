#include "store/blobs/blob_verifier.h"

#include <algorithm>
#include <vector>

namespace ollamafs {

std::error_code BlobVerifier::see(std::string_view bytes, std::uint64_t offset, const Read& read) {
  const std::uint64_t end = offset + bytes.size();
  const bool has_last = !bytes.empty() && end == size_;
  if (verdict_ == Verdict::none) {
    const std::scoped_lock lock{mutex_};
    if (offset > prefix_ && offset - prefix_ > kInPassing)
      return has_last ? BlobFault::unverified : std::error_code{};
    if (end > prefix_) {
      const auto ec = hash_to(offset, read);
      if (ec) return has_last ? ec : std::error_code{};
      hash(bytes.substr(static_cast<std::size_t>(prefix_ - offset)));
    }
  }
  return has_last && verdict_ != Verdict::good ? BlobFault::wrong_digest : std::error_code{};
}

std::error_code BlobVerifier::hash_on(std::uint64_t most, const Read& read) {
  const std::scoped_lock lock{mutex_};
  return hash_to(prefix_ + std::min(most, size_ - prefix_), read);
}

// In a buffer that the thread keeps: a fresh one would be page-faulted every time.
std::error_code BlobVerifier::hash_to(std::uint64_t end, const Read& read) {
  constexpr std::size_t piece = 256u << 10;
  thread_local std::vector<char> buffer;
  while (prefix_ < end && verdict_ == Verdict::none) {
    buffer.resize(piece);
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(piece, end - prefix_));
    if (const auto ec = read(buffer.data(), size, prefix_)) return ec;
    hash({buffer.data(), size});
  }
  return {};
}

void BlobVerifier::hash(std::string_view bytes) {
  if (!hasher_) hasher_.emplace();
  hasher_->add(bytes);
  prefix_ += bytes.size();
  hashed_ += bytes.size();
  if (prefix_ < size_) return;
  verdict_ = hasher_->finish() == expected_ ? Verdict::good : Verdict::bad;
  hasher_.reset();
  on_verdict_();
}

}  // namespace ollamafs
