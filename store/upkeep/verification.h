#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/file_identity.h"
#include "store/base/progress.h"
#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"
#include "store/model/digest.h"

namespace ollamafs {

// What is wrong with a blob, or with what names it.
enum class FindingKind : std::uint8_t {
  missing,      // a model needs it, and there is nothing
  too_short,    // its bytes are others than its name says, and it lacks some
  too_long,     // likewise, and it has more than its manifest says
  wrong_bytes,  // likewise, of the right size or of one that nothing tells
  wrong_size,   // its bytes are right, and a manifest gives it another size
  unreadable,   // permissions, the disk, no regular file, a link that is not followed; or somebody
                // writes to it
  manifest,     // not a blob: a manifest or a folder of manifests
};

// "too-short" and so on, for JSON.
[[nodiscard]] std::string_view to_string(FindingKind kind) noexcept;

struct Finding {
  FindingKind kind;
  std::optional<Digest> digest;     // of the blob
  std::string path;                 // relative to the store; any bytes, see printable()
  std::string text;                 // a printable line that goes on from the path
  std::vector<std::string> models;  // shown names of all that are concerned; may be none
  FileIdentity identity{};          // of the blob's file as it was read, if it was

  // Whether the bytes of the file are wrong for sure, so that it is of no use to anybody.
  [[nodiscard]] bool is_bad_blob() const noexcept {
    return kind == FindingKind::too_short || kind == FindingKind::too_long ||
           kind == FindingKind::wrong_bytes;
  }
};

struct Verification {
  std::uint64_t blobs = 0;  // that were hashed
  std::uint64_t bytes = 0;
  std::vector<Finding> findings;  // sorted by path
};

// Computes the SHA-256 of every blob, by as many threads as there are processors, and compares it
// with its name: of some models (indexes into catalog.models()), or with none given of all that is
// in blobs/, whether anything names it or not; then whatever else is wrong in the trees of
// manifests counts as well. `catalog` is of `store`. Nothing is remembered from run to run.
//
// Throws std::system_error if blobs/ cannot be listed, or this process lacks descriptors or memory;
// Interrupted as `progress` does.
[[nodiscard]] Verification verify_store(const StoreDir& store, const Catalog& catalog,
                                        const std::vector<std::size_t>& models,
                                        Progress& progress = Progress::none());

}  // namespace ollamafs
