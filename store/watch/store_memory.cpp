#include "store/watch/store_memory.h"

#include <string_view>
#include <utility>

#include "store/base/path_prefix.h"

namespace ollamafs {

void StoreMemory::begin() {
  if (!watch_) return;
  if (watch_->failure()) forget();
  apply(watch_->take_changes());
  watch_->begin();
  folders_.begin();
  blobs_.begin();
  manifests_.begin();
  blobs_are_watched_ = false;
}

void StoreMemory::end() {
  if (!watch_) return;
  watch_->end();
  folders_.end();
  blobs_.end();
  manifests_.end();
}

void StoreMemory::forget() noexcept {
  folders_.clear();
  blobs_.clear();
  manifests_.clear();
}

void StoreMemory::apply(const StoreChanges& changes) {
  if (changes.everything) return forget();
  for (const std::string& path : changes.folders) {
    if (Folder* const folder = folders_.find(path)) folder->is_read = false;
  }
  if (!changes.trees.empty()) {
    const auto has_changed = [&](std::string_view tree) { return changes.trees.contains(tree); };
    folders_.erase_if([&](const std::string& path) { return any_on_the_way(path, has_changed); });
  }
  for (const Digest& digest : changes.blobs) {
    blobs_.erase(digest);
    manifests_.erase(digest);
  }
}

const FolderEntries* StoreMemory::entries(const std::string& folder) {
  const Folder* const known = folders_.find(folder);
  if (!known || !known->is_read || !watch_->keep(known->watch, folder)) return nullptr;
  return &folders_.use(folder).value->entries;
}

void StoreMemory::watch_folder(int directory, const std::string& folder) {
  if (!watch_) return;
  const int watch = watch_->add(directory, StoreWatch::Kind::manifests, folder);
  // Something else was mounted there, say.
  if (const Folder* const known = folders_.find(folder); known && known->watch != watch) {
    forget_below(folder);
  }
  folders_.put(folder, {.watch = watch});
}

void StoreMemory::forget_below(const std::string& folder) {
  folders_.erase_if([&](const std::string& path) { return path.starts_with(folder + "/"); });
}

void StoreMemory::remember(const std::string& folder, const FolderEntries& entries) {
  Folder* const known = folders_.find(folder);
  if (!known || known->watch == StoreWatch::kNone) return;
  known->entries = entries;
  known->is_read = true;
}

void StoreMemory::watch_blobs(int directory) {
  if (!watch_) return;
  const int watch = watch_->add(directory, StoreWatch::Kind::blobs);
  if (std::exchange(blobs_watch_, watch) != watch) {
    blobs_.clear();
    manifests_.clear();
  }
  blobs_are_watched_ = watch != StoreWatch::kNone;
}

const Blob* StoreMemory::blob(const Digest& digest) {
  return blobs_are_watched_ ? blobs_.use(digest).value : nullptr;
}

void StoreMemory::remember(const Blob& blob) {
  if (blobs_are_watched_) blobs_.put(blob.digest, blob);
}

bool StoreMemory::knows_manifest(const Digest& digest) {
  return blobs_are_watched_ && manifests_.use(digest).value;
}

void StoreMemory::remember_manifest(const Digest& digest) {
  if (blobs_are_watched_) (void)manifests_.make(digest);
}

}  // namespace ollamafs
