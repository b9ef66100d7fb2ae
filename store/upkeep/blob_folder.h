#pragma once

// Room store/upkeep: A store weighed, checked and cleared of what nobody needs.

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/folder/store_dir.h"
#include "store/model/digest.h"

namespace ollamafs {

// What an entry of blobs/ is, by its name and kind (docs/store-format.md §5).
enum class BlobEntryKind : std::uint8_t {
  blob,     // a file or a symlink with the name of a digest, in whatever spelling
  partial,  // of a download that is under way or was given up
  folder,
  foreign,  // anything else
};

// An entry of blobs/ itself: of a symlink nothing says where it leads.
struct BlobEntry {
  std::string name;  // any bytes, see printable()
  BlobEntryKind kind = BlobEntryKind::foreign;
  std::optional<Digest> digest;  // of a blob
  struct stat st {};

  [[nodiscard]] std::string path() const { return "blobs/" + name; }  // relative to the store
};

// All of them, sorted by name; none if there is no such folder. Entries that vanish meanwhile are
// left out. Throws std::system_error that names the path if the folder or an entry cannot be read.
[[nodiscard]] std::vector<BlobEntry> list_blob_folder(const StoreDir& store);

// The bytes that a file holds: its size, or of a large file with holes what is beside them.
[[nodiscard]] std::uint64_t held_bytes(const struct stat& st) noexcept;

}  // namespace ollamafs
