#pragma once

// Room fs/serve: The file system without a kernel: answers lookups and reads, and follows the
// store.

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "store/catalog/catalog.h"

namespace ollamafs {

// The blobs that turned out to be damaged while they were read. Every model that names such a blob
// is broken from then on: copiers read blobs before manifests, so none that met the error gets the
// manifest (docs/view.md §4). A blob is bad until its file changes.
//
// Safe to use from several threads.
class BadBlobs {
 public:
  // Remembers that reading `blob` from `file` failed. True if that was not known before.
  bool add(const Digest& blob, const FileIdentity& file, const std::string& reason);

  // The file that stands for a blob, if one does.
  using FileOf = std::function<std::optional<FileIdentity>(const Digest&)>;

  // To be called when other files may stand for blobs than before: forgets the damage of what is
  // another file since, and another than the one that failed.
  void forget_changed(const FileOf& before, const FileOf& after);

  void forget(const Digest& blob);

  // Whether the model cannot be copied as a whole. Needs no memory.
  [[nodiscard]] bool has_fault(const Model& model) const noexcept;

  // Why the model cannot be copied as a whole: its first fault, or a blob that failed since;
  // nothing if the model is whole. A printable sentence.
  [[nodiscard]] std::optional<std::string> fault_of(const Model& model) const;

 private:
  struct Fault {
    FileIdentity file;
    std::string reason;
  };

  mutable std::mutex mutex_;
  std::unordered_map<Digest, Fault> faults_;
};

}  // namespace ollamafs
