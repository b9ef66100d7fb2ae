#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/upkeep/blob_folder.h"
#include "store/upkeep/references.h"

namespace ollamafs {

// What models take on the disk, in bytes. A file that several need counts once; of one with holes
// only what it holds, and of one that is not there nothing: broken models count too. A blob behind
// a symlink counts as what it leads to, which stays if the model is deleted, and so does what has
// another hard link.
struct ModelUsage {
  std::uint64_t all = 0;        // blobs that any of its manifests names
  std::uint64_t shared = 0;     // those of them that a tag of another model names too
  std::uint64_t own = 0;        // the others
  std::uint64_t manifests = 0;  // the files of its tags, lists and children
  std::uint64_t frees = 0;      // by what the disk gets emptier if it is deleted
};

// Files that are no part of a model.
struct EntryUsage {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

struct StoreUsage {
  std::vector<ModelUsage> models;  // in the order of Catalog::models()
  std::uint64_t blobs = 0;         // all that models need
  std::uint64_t manifests = 0;     // of both trees, with the blobs that hold manifests
  EntryUsage orphans;              // blobs that no manifest names
  EntryUsage partials;             // downloads that are under way or were given up
  EntryUsage foreign;              // files that are none of Ollama's; folders are not looked into
  std::vector<Problem> doubts;     // as StoreReferences::doubts: then orphans may be none
};

// Weighs what a store holds.
class UsageMeter {
 public:
  // Reads the store. `catalog` is of it and must outlive this. Throws as read_references and
  // list_blob_folder do.
  UsageMeter(const StoreDir& store, const Catalog& catalog);

  // Of each model by itself, and of the rest.
  [[nodiscard]] StoreUsage all() const;

  // Of several models together: indexes into Catalog::models().
  [[nodiscard]] ModelUsage together(const std::vector<std::size_t>& models) const;

 private:
  struct Users {
    std::vector<std::size_t> tags;  // indexes into references_.tags, ascending
  };

  void assign_tags();
  [[nodiscard]] std::uint64_t held(const Digest& digest) const;
  [[nodiscard]] std::uint64_t freed(const Digest& digest) const;

  const Catalog& catalog_;
  StoreReferences references_;
  std::vector<BlobEntry> entries_;
  std::unordered_map<Digest, std::uint64_t> held_;   // bytes
  std::unordered_map<Digest, std::uint64_t> freed_;  // of those, what deleting the entry frees
  std::unordered_map<Digest, Users> users_;
  std::vector<std::vector<std::size_t>> model_tags_;  // of each model: indexes of its tags
};

}  // namespace ollamafs
