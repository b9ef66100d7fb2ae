#pragma once

#include <string>
#include <vector>

#include "store/catalog/store_limits.h"
#include "store/folder/store_dir.h"
#include "store/model/model_name.h"
#include "store/model/problem.h"
#include "store/watch/store_memory.h"

namespace ollamafs {

// The two trees in which Ollama keeps the tags of its models (docs/store-format.md §3.1, §3.2).
enum class TreeKind { v1, v2 };

// The folder of a tree, relative to the store: "manifests" or "manifests-v2".
[[nodiscard]] const char* tree_folder(TreeKind kind) noexcept;

// What is wrong with a tag's entry that is a directory.
inline constexpr const char* kDirectoryForManifest = "is a directory where a manifest belongs";

// One entry host/namespace/model/tag of a tree. It may still turn out to be no manifest.
struct Tag {
  TreeKind tree;
  std::string path;  // relative to the store
  ModelName name;
  bool unchanged = false;  // nothing has happened in its folder since that was listed last
};

struct TagListing {
  std::vector<Tag> tags;  // sorted by path
  // Those that GGUF conversion leaves in the v1 tree (docs/store-format.md §3.2). They keep blobs
  // from an older server's garbage collector, and are no models.
  std::vector<Tag> shadows;  // sorted by path
  std::vector<Problem> problems;
  std::vector<std::string> unlisted;  // folders that could not be listed, and may hold more tags
  std::vector<std::string> unread;    // those of them where the disk failed (is_disk_failure)
};

// Walks one tree, exactly four levels deep as Ollama does, following symlinked directories under
// the rules of `store`. Whatever cannot be a tag is a problem: files on the way, names outside
// Ollama's grammar, directories that cannot be read. Temporary files of a running server are passed
// over. A tree that is not there has no tags. Throws std::system_error if this process lacks
// descriptors or memory, std::length_error if the tree has more entries than the limits allow. With
// `memory`, folders that have not changed are not listed again.
[[nodiscard]] TagListing list_tags(const StoreDir& store, TreeKind kind,
                                   StoreMemory* memory = nullptr, const StoreLimits& limits = {});

}  // namespace ollamafs
