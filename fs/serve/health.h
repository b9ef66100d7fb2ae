#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "fs/serve/bad_blobs.h"
#include "fs/serve/manifest_guard.h"
#include "fs/tree/cache_notice.h"
#include "fs/tree/node_table.h"
#include "store/blobs/blob_pool.h"
#include "store/layout/open_layout.h"

namespace ollamafs {

// The answer where a model cannot be had: EIO.
[[nodiscard]] inline std::error_code io_error() noexcept {
  return std::make_error_code(std::errc::io_error);
}

// Which models can be copied as a whole: those that the catalog found so, unless a blob of theirs
// failed while it was read. Safe to use from several threads.
class Health {
 public:
  // Called once for each blob that turns bad, with a printable sentence; from any thread.
  using OnBadBlob = std::function<void(const std::string& message)>;

  // `on_stale` is told what the kernel must forget of models that are broken now. All must outlive
  // this.
  Health(const NodeTable& nodes, const BlobPool& pool, ManifestGuard& guard, OnBadBlob on_bad_blob,
         OnStale on_stale);

  // Whether the node belongs to a model that is broken. Needs no memory.
  [[nodiscard]] bool is_broken(const NodeRef& node) const noexcept;

  // As Tree::stand_in_name, also of what has turned bad since the tree was made. Needs no memory.
  [[nodiscard]] std::string_view stand_in_name(const NodeRef& directory) const noexcept;

  // Why, as a printable sentence; nothing if the model is whole.
  [[nodiscard]] std::optional<std::string> fault_of(const Model& model) const {
    return bad_blobs_.fault_of(model);
  }

  // A blob could not be read. Returns what is to be answered: EMFILE, ENFILE or ENOMEM if that was
  // only a trouble of this process, BlobFault::unverified, and else EIO; then its models may be
  // broken from now on, or, for want of memory to note that, every process has missed something.
  [[nodiscard]] std::error_code failed(const OpenLayout::Failure& failure) noexcept;

  // Looks at all blobs of a manifest's model again. Who opens a manifest has read the blobs; where
  // the kernel read them by itself (passthrough, or its cache), nobody saw that one was cut short
  // meanwhile. The first that is not what it was: as failed() answers.
  [[nodiscard]] std::error_code check_blobs(const NodeRef& manifest);

  // To be called when `after` takes the place of `before`.
  void changed(const Tree& before, const Tree& after);

 private:
  [[nodiscard]] bool may_pass(const OpenLayout::Failure& failure) const;
  void blob_is_bad(const OpenLayout::Failure& failure);

  const NodeTable& nodes_;
  const BlobPool& pool_;
  ManifestGuard& guard_;
  BadBlobs bad_blobs_;
  OnBadBlob on_bad_blob_;
  OnStale on_stale_;
};

}  // namespace ollamafs
