#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "store/base/write_calls.h"
#include "store/folder/store_dir.h"
#include "store/model/problem.h"
#include "store/upkeep/blob_folder.h"

namespace ollamafs {

// Why a file that no manifest names is left where it is.
enum class KeptBecause : std::uint8_t {
  young,  // it changed within the hour of grace that Ollama grants, too
  // Something else tells of a download that is under way, whose finished blobs have no manifest
  // yet: a blob without one or a partial file that changed within it, or a partial file that is
  // open.
  downloading,
  in_use,  // somebody has it open
};

struct KeptFile {
  BlobEntry entry;
  KeptBecause reason;
};

// What of blobs/ is needless, and what is not touched.
struct Garbage {
  std::vector<BlobEntry> files;   // to delete: blobs that no manifest names, and old downloads
  std::vector<KeptFile> kept;     // needless, it seems, but not to be deleted now
  std::vector<BlobEntry> others;  // folders and files that are none of Ollama's: never touched
  // Manifests that may name anything: as long as there is one, `files` is empty.
  std::vector<Problem> doubts;
};

// How long a file is left alone after it changed; of a symlink that is the link itself
// (docs/store-format.md §6).
inline constexpr std::chrono::hours kGrace{1};

// Looks for it. `now` is in seconds since the epoch. Throws as read_references and list_blob_folder
// do.
[[nodiscard]] Garbage find_garbage(const StoreDir& store, std::int64_t now);

// What became of a file of Garbage::files.
struct Deletion {
  BlobEntry entry;
  std::error_code error{};  // why it could not be deleted
  bool is_spared = false;   // it is needed by now, was changed, or is open: it was left
  bool is_gone = false;     // somebody else has deleted it
};

struct DeletionReport {
  std::vector<Deletion> deletions;  // of every file, in their order
  // As Garbage::doubts, if manifests became doubtful meanwhile: all files from then on are spared.
  std::vector<Problem> doubts;
};

// Deletes files that find_garbage() found. Before each one it is made sure anew that no manifest
// names it, by manifests that were read a moment ago, and that it is the file that was found: a
// pull that ends meanwhile loses nothing. Goes on after one that cannot be deleted. What
// find_garbage throws then is a doubt as well. Throws std::system_error that names blobs/ if it
// cannot be opened.
[[nodiscard]] DeletionReport delete_garbage(const StoreDir& store,
                                            const std::vector<BlobEntry>& files,
                                            const WriteCalls& calls = WriteCalls::kernel());

}  // namespace ollamafs
