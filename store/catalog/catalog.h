#pragma once

// Room store/catalog: The store read whole: every model, what is wrong with it, and which blobs
// it needs.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/blobs/blob.h"
#include "store/folder/store_dir.h"
#include "store/model/model_name.h"
#include "store/model/problem.h"
#include "store/model/stored_manifest.h"

namespace ollamafs {

// A model under one name. It is whole if nothing is at fault: its manifest parses, every blob that
// it names is a regular file of the store, readable, of the size that the manifest says
// (docs/view.md §4).
struct Model {
  ModelName name;
  std::string shown{};      // what `list` prints and what people type: unique in the catalog
  std::string view_name{};  // the same as a path in the view and for file names: unique as well
  std::string tag_path{};   // of the tag's entry, relative to the store
  std::shared_ptr<const StoredManifest> manifest{};  // the runnable one; never null
  std::int64_t mtime = 0;                            // seconds: MODIFIED in `ollama list`
  uid_t uid = 0;                                     // owner of the manifest's file
  gid_t gid = 0;
  std::vector<std::uint32_t> blobs{};  // indexes into Catalog::blobs, in the order of their digests
  Faults faults{};                     // empty: the model is whole

  [[nodiscard]] bool whole() const noexcept { return faults.empty(); }

  bool operator==(const Model& other) const noexcept;
};

class TagReader;

// All that a store holds at one moment. Immutable, so it may be shared between threads.
class Catalog {
 public:
  // Reads the whole store; gone() if it has none of its folders, or one of them is a link that
  // leads nowhere, as when its disk was unmounted. Throws std::system_error that names the path if
  // one of its trees cannot be listed at all, or if this process lacks descriptors or memory to
  // read all of it, and std::length_error if it has more than StoreLimits; anything less is a fault
  // of a model or a problem of the store.
  [[nodiscard]] static std::shared_ptr<const Catalog> read(const StoreDir& store);

  // The same, of a store that is read again and again: `reader` remembers its manifests, and its
  // memory, whose begin() and end() are the caller's, what else there is. StoreScanner does that.
  [[nodiscard]] static std::shared_ptr<const Catalog> read(const StoreDir& store,
                                                           TagReader& reader);

  // What a store holds that has no models.
  [[nodiscard]] static std::shared_ptr<const Catalog> empty();

  // Of a store that is gone: it has no models either, and says so.
  [[nodiscard]] static std::shared_ptr<const Catalog> gone();

  // `now`, but with some of the models of `before`, which keep the place they have there and the
  // blobs that they need: `kept` are indexes into before.models(), ascending. A model of `now` that
  // displays as a kept one does, but is another, is shown under its full name.
  [[nodiscard]] static std::shared_ptr<const Catalog> keep(const Catalog& now,
                                                           const Catalog& before,
                                                           std::span<const std::uint32_t> kept);

  // `now`, but with the models of `before` at or below what of `now` is unread(), unless `now` has
  // found them elsewhere.
  [[nodiscard]] static std::shared_ptr<const Catalog> keep_unread(
      std::shared_ptr<const Catalog> now, const Catalog& before);

  // Whether there is no store: what it holds is not known. Else, without models, it is empty.
  [[nodiscard]] bool is_gone() const noexcept { return is_gone_; }

  // Whether both show the same.
  [[nodiscard]] bool operator==(const Catalog& other) const noexcept;

  [[nodiscard]] std::span<const Model> models() const noexcept { return models_; }  // by view_name
  [[nodiscard]] std::span<const Blob> blobs() const noexcept { return blobs_; }     // by digest
  [[nodiscard]] std::span<const Problem> problems() const noexcept { return problems_; }  // by path

  // Folders and tags, relative to the store, that could not be read because the disk failed
  // (is_disk_failure): what models there are is not known. Sorted.
  [[nodiscard]] std::span<const std::string> unread() const noexcept { return unread_; }

  // Whether reading the store again may find another although nothing changes in it: the disk
  // failed, here or at a blob.
  [[nodiscard]] bool is_provisional() const noexcept;

  // The index of a blob, if some model names it.
  [[nodiscard]] std::optional<std::uint32_t> blob_index(const Digest& digest) const noexcept;

  // The models that name the blob with this index: indexes into models(), ascending.
  [[nodiscard]] std::span<const std::uint32_t> users(std::uint32_t blob) const noexcept;

  // The model that the view shows under this name, or null.
  [[nodiscard]] const Model* at_view_name(std::string_view view_name) const noexcept;

 private:
  friend class CatalogBuilder;
  Catalog() = default;
  [[nodiscard]] static std::shared_ptr<const Catalog> without_models(bool is_gone);
  void index_users();

  std::vector<Model> models_;
  std::vector<Blob> blobs_;
  std::vector<Problem> problems_;
  std::vector<std::string> unread_;
  std::vector<std::uint32_t> users_;        // of all blobs, one after the other
  std::vector<std::uint32_t> users_start_;  // where each blob's begin; one more at the end
  bool is_gone_ = false;
};

}  // namespace ollamafs
