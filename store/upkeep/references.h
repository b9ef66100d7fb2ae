#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "store/catalog/tag_tree.h"
#include "store/folder/store_dir.h"
#include "store/model/digest.h"
#include "store/model/problem.h"

namespace ollamafs {

// A tag, and all that it keeps in blobs/: what its manifest names, and where that is a list the
// list itself, its children that are in the store, and what these name; likewise of an anchor.
struct TagReferences {
  Tag tag;
  bool is_shadow = false;         // of a converted model: no model, but it keeps blobs all the same
  std::uint64_t entry_bytes = 0;  // of its own file; 0 for a symlink
  std::vector<Digest> manifests;  // blobs that hold a manifest or a list; sorted
  std::vector<Digest> blobs;      // all others, each once; sorted
};

// What the manifests of a store name, of both trees. Unlike a Catalog, which chooses between two
// tags of one name, it has every one of them: what any names is not to be thrown away.
struct StoreReferences {
  std::vector<TagReferences> tags;  // sorted by path
  std::unordered_set<Digest> named;

  // Manifests and folders that may name blobs which are not known: unreadable, empty, of a name
  // that is none. As long as there is one, no blob is known to be needless.
  std::vector<Problem> doubts;
};

// Reads them. Throws as Catalog::read does.
[[nodiscard]] StoreReferences read_references(const StoreDir& store);

}  // namespace ollamafs
