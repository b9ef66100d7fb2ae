#include "fs/bad_blobs.h"

#include <fmt/format.h>

namespace ollamafs {

bool BadBlobs::add(const Digest& blob, const std::string& reason) {
  const std::scoped_lock lock{mutex_};
  return reasons_.try_emplace(blob, reason).second;
}

std::optional<std::string> BadBlobs::fault_of(const Model& model) const {
  if (!model.whole()) return model.faults.front();
  const std::scoped_lock lock{mutex_};
  if (reasons_.empty()) return std::nullopt;
  for (const BlobRef& ref : model.manifest->blobs) {
    if (const auto it = reasons_.find(ref.digest); it != reasons_.end()) {
      return fmt::format("blob {} could not be read: {}", ref.digest.blob_name(), it->second);
    }
  }
  return std::nullopt;
}

}  // namespace ollamafs
