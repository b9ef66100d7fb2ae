#pragma once

#include <string>
#include <variant>
#include <vector>

#include "store/base/swept_map.h"
#include "store/blobs/blob.h"
#include "store/watch/store_watch.h"

namespace ollamafs {

// An entry of a folder.
struct FolderEntry {
  std::string name;
  unsigned char type;  // DT_DIR and so on, of a symlink itself (readdir(3))
};
using FolderEntries = std::vector<FolderEntry>;

// What was found in a store and is so still, because its watch has told nothing of it since: what
// did not change is not looked at again. What may change unseen is not remembered: what was reached
// by a symlink or has another name. Of a hard link that comes later inotify tells nothing, so that
// everything must be looked at now and then: forget(). Not for use from several threads at once.
class StoreMemory {
 public:
  // `watch`, whose begin() and end() are this one's, must outlive this. Without it nothing is
  // remembered.
  explicit StoreMemory(StoreWatch* watch = nullptr) : watch_{watch} {}

  // To be called before and after a store is read: what has changed is forgotten, and in the end
  // what was not asked for between the two. If reading fails, forget() instead of end().
  void begin();
  void end();
  void forget() noexcept;

  // The entries of a folder of manifests (a path relative to the store), or null.
  [[nodiscard]] const FolderEntries* entries(const std::string& folder);

  // Before and after such a folder is read, the latter if it could be read. Only what was watched
  // is remembered.
  void watch_folder(int directory, const std::string& folder);
  void remember(const std::string& folder, const FolderEntries& entries);

  // Before blobs are looked at; without it none is remembered.
  void watch_blobs(int directory);

  // A blob, or null.
  [[nodiscard]] const Blob* blob(const Digest& digest);
  void remember(const Blob& blob);

  // Whether the manifest in a blob is what it was.
  [[nodiscard]] bool knows_manifest(const Digest& digest);
  void remember_manifest(const Digest& digest);

 private:
  struct Folder {
    int watch = StoreWatch::kNone;
    bool is_read = false;
    FolderEntries entries{};
  };

  void forget_below(const std::string& folder);
  void apply(const StoreChanges& changes);

  StoreWatch* watch_;
  SweptMap<std::string, Folder> folders_;
  int blobs_watch_ = StoreWatch::kNone;
  bool blobs_are_watched_ = false;  // since begin()
  SweptMap<Digest, Blob> blobs_;
  SweptMap<Digest, std::monostate> manifests_;
};

}  // namespace ollamafs
