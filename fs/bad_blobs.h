#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "store/catalog.h"

namespace ollamafs {

// The blobs that failed while they were read. Such a blob is bad for this mount, and every model
// that names it is broken from then on: copiers read blobs before manifests, so none that met the
// error gets the manifest (design §4).
//
// Safe to use from several threads.
class BadBlobs {
 public:
  // Remembers that reading `blob` failed. True if that was not known before.
  bool add(const Digest& blob, const std::string& reason);

  // Why the model cannot be copied as a whole: its first fault, or a blob that failed since;
  // nothing if the model is whole. A printable sentence.
  [[nodiscard]] std::optional<std::string> fault_of(const Model& model) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<Digest, std::string> reasons_;
};

}  // namespace ollamafs
