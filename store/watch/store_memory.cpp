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
  for (auto& [path, folder] : folders_) folder.used = false;
  for (auto& [digest, known] : blobs_) known.used = false;
  for (auto& [digest, used] : manifests_) used = false;
  blobs_are_watched_ = false;
}

void StoreMemory::end() {
  if (!watch_) return;
  watch_->end();
  std::erase_if(folders_, [](const auto& entry) { return !entry.second.used; });
  std::erase_if(blobs_, [](const auto& entry) { return !entry.second.used; });
  std::erase_if(manifests_, [](const auto& entry) { return !entry.second; });
}

void StoreMemory::forget() noexcept {
  folders_.clear();
  blobs_.clear();
  manifests_.clear();
}

void StoreMemory::apply(const StoreChanges& changes) {
  if (changes.everything) return forget();
  for (const std::string& path : changes.folders) {
    if (const auto it = folders_.find(path); it != folders_.end()) it->second.is_read = false;
  }
  if (!changes.trees.empty()) {
    const auto has_changed = [&](std::string_view tree) { return changes.trees.contains(tree); };
    std::erase_if(folders_,
                  [&](const auto& entry) { return any_on_the_way(entry.first, has_changed); });
  }
  for (const Digest& digest : changes.blobs) {
    blobs_.erase(digest);
    manifests_.erase(digest);
  }
}

const FolderEntries* StoreMemory::entries(const std::string& folder) {
  const auto it = folders_.find(folder);
  if (it == folders_.end()) return nullptr;
  Folder& known = it->second;
  if (!known.is_read || !watch_->keep(known.watch, folder)) return nullptr;
  known.used = true;
  return &known.entries;
}

void StoreMemory::watch_folder(int directory, const std::string& folder) {
  if (!watch_) return;
  const int watch = watch_->add(directory, StoreWatch::Kind::manifests, folder);
  const auto [it, is_new] = folders_.try_emplace(folder);
  // Something else was mounted there, say.
  if (!is_new && it->second.watch != watch) forget_below(folder);
  it->second = {watch, false, true, {}};
}

void StoreMemory::forget_below(const std::string& folder) {
  std::erase_if(folders_, [&](const auto& entry) { return entry.first.starts_with(folder + "/"); });
}

void StoreMemory::remember(const std::string& folder, const FolderEntries& entries) {
  const auto it = folders_.find(folder);
  if (it == folders_.end() || it->second.watch == StoreWatch::kNone) return;
  it->second.entries = entries;
  it->second.is_read = true;
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
  const auto it = blobs_.find(digest);
  if (it == blobs_.end() || !blobs_are_watched_) return nullptr;
  it->second.used = true;
  return &it->second.blob;
}

void StoreMemory::remember(const Blob& blob) {
  if (blobs_are_watched_) blobs_.insert_or_assign(blob.digest, KnownBlob{blob, true});
}

bool StoreMemory::knows_manifest(const Digest& digest) {
  const auto it = manifests_.find(digest);
  if (it == manifests_.end() || !blobs_are_watched_) return false;
  return it->second = true;
}

void StoreMemory::remember_manifest(const Digest& digest) {
  if (blobs_are_watched_) manifests_.insert_or_assign(digest, true);
}

}  // namespace ollamafs
