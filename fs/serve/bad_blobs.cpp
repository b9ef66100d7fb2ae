#include "fs/serve/bad_blobs.h"

#include <fmt/format.h>

#include <algorithm>

namespace ollamafs {

bool BadBlobs::add(const Digest& blob, const FileIdentity& file, const std::string& reason) {
  const std::scoped_lock lock{mutex_};
  return faults_.try_emplace(blob, Fault{file, reason}).second;
}

// A catalog may not know of a time of the file that has no bearing on its bytes: as when it got
// another name.
void BadBlobs::forget_changed(const FileOf& before, const FileOf& after) {
  const std::scoped_lock lock{mutex_};
  std::erase_if(faults_, [&](const auto& entry) {
    const auto now = after(entry.first);
    return !now || (*now != entry.second.file && now != before(entry.first));
  });
}

void BadBlobs::forget(const Digest& blob) {
  const std::scoped_lock lock{mutex_};
  faults_.erase(blob);
}

bool BadBlobs::has_fault(const Model& model) const noexcept {
  if (!model.whole()) return true;
  const std::scoped_lock lock{mutex_};
  const auto& blobs = model.manifest->blobs;  // sorted
  return std::ranges::any_of(faults_, [&](const auto& fault) {
    return std::ranges::binary_search(blobs, fault.first, {}, &BlobRef::digest);
  });
}

std::optional<std::string> BadBlobs::fault_of(const Model& model) const {
  if (!model.whole()) return model.faults.front().text;
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
