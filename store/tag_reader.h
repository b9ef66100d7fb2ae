#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>

#include "store/read_file.h"
#include "store/store_dir.h"
#include "store/stored_manifest.h"
#include "store/tag_tree.h"

namespace ollamafs {

// A list as it is on disk.
struct StoredList {
  Digest digest;  // of its bytes
  ManifestList list;
};

// What a tag's entry in the store turned out to be.
struct TagFile {
  std::variant<std::shared_ptr<const StoredManifest>, StoredList> content;
  std::int64_t mtime =
      0;          // seconds; of the entry itself, a symlink's own: MODIFIED in `ollama list`
  uid_t uid = 0;  // of the file that holds the bytes
  gid_t gid = 0;
  bool outside = false;  // a symlink led out of the store
};

// Why a tag has no content.
struct TagFailure {
  // The manifest blob that the tag leads to and that is missing or may not be believed. Then there
  // is a model, a broken one, and `reason` is its fault, a sentence. Without it nothing says that
  // there is a model, and `reason` goes on from the tag's path.
  std::optional<Digest> blob;
  std::string reason;    // one printable line
  bool missing = false;  // the blob is not there: the v1 tree may have the model
};

using TagResult = std::variant<TagFile, TagFailure>;

// Reads manifests from one store. Tags that lead to the same manifest blob share its content.
// Not for use from several threads at once.
class TagReader {
 public:
  explicit TagReader(const StoreDir& store) : store_{store} {}

  // Reads a tag by the rules of its tree (ollama-store.md §3): a regular file holds the manifest; a
  // symlink must lead to the manifest's own blob in this store, and the blob must hash to its name.
  // v1 symlinks may also lead to any other regular file, as older servers allow.
  // Throws std::system_error, as read_blob does, if this process lacks descriptors or memory.
  [[nodiscard]] TagResult read(const Tag& tag);

  // Reads the manifest blob `digest`, which must hash to its name. A failure names the blob.
  [[nodiscard]] TagResult read_blob(const Digest& digest);

 private:
  [[nodiscard]] TagResult read_link(const Tag& tag, int link_fd);
  [[nodiscard]] TagResult read_plain(const Tag& tag);

  const StoreDir& store_;
  std::unordered_map<Digest, TagFile> blobs_;  // manifest blobs read so far
};

}  // namespace ollamafs
