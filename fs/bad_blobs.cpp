#include "fs/bad_blobs.h"

#include <fmt/format.h>

namespace ollamafs {

bool BadBlobs::add(const Digest& blob, Cause cause, const std::string& reason) {
  const std::scoped_lock lock{mutex_};
  const auto [it, is_new] = faults_.try_emplace(blob, Fault{cause, reason});
  if (is_new || it->second.cause == cause || cause == Cause::shortage) return is_new;
  it->second = {cause, reason};
  return true;
}

bool BadBlobs::is_short(const Digest& blob) const {
  const std::scoped_lock lock{mutex_};
  const auto it = faults_.find(blob);
  return it != faults_.end() && it->second.cause == Cause::shortage;
}

void BadBlobs::end_shortage(const Digest& blob) {
  const std::scoped_lock lock{mutex_};
  const auto it = faults_.find(blob);
  if (it != faults_.end() && it->second.cause == Cause::shortage) faults_.erase(it);
}

std::optional<std::string> BadBlobs::fault_of(const Model& model) const {
  if (!model.whole()) return model.faults.front();
  const std::scoped_lock lock{mutex_};
  if (faults_.empty()) return std::nullopt;
  for (const BlobRef& ref : model.manifest->blobs) {
    if (const auto it = faults_.find(ref.digest); it != faults_.end()) {
      return fmt::format("blob {} could not be read: {}", ref.digest.blob_name(),
                         it->second.reason);
    }
  }
  return std::nullopt;
}

}  // namespace ollamafs
