#pragma once

// Room store/blobs: Blobs: found, kept open, read, hashed while they are read.

#include <sys/types.h>

#include <string>
#include <string_view>
#include <system_error>

#include "store/base/file_identity.h"
#include "store/folder/read_file.h"
#include "store/folder/store_dir.h"
#include "store/model/digest.h"

namespace ollamafs {

// Temporary files of imports have names in blobs/ that begin so. They are no names of blobs, so
// that Ollama's clean-up deletes one that was left behind after an hour (docs/store-format.md §6).
inline constexpr std::string_view kTemporaryPrefix = "ollamafs-import-";

// A blob that at least one model names, as it was found on disk.
struct Blob {
  Digest digest;
  std::error_code error;  // why it cannot be had, as of StoreDir::open_file; none: it is good
  FileIdentity identity;  // of a good blob; its size is the blob's real size
  uid_t uid = 0;
  gid_t gid = 0;
  bool outside = false;   // a symlink led out of the store
  bool old_name = false;  // it was found as sha256:HEX only (docs/store-format.md §5)

  // Of its file, below the store.
  [[nodiscard]] std::string path() const {
    return old_name ? digest.old_blob_path() : digest.blob_path();
  }

  [[nodiscard]] bool good() const noexcept { return !error; }

  bool operator==(const Blob&) const = default;
};

// Looks at the file of the blob `digest` without opening it: good is a regular file that this
// process may read. `alone` gets is_alone() of its entry in blobs/.
[[nodiscard]] Blob inspect_blob(const StoreDir& store, const Digest& digest, bool* alone = nullptr);

// Opens a blob's file by either of its names; else as of StoreDir::open_file().
[[nodiscard]] StoreDir::Opened open_blob(const StoreDir& store, const Digest& digest,
                                         std::error_code& ec);

// Reads a small blob whole, by either of its names; else as of read_file().
[[nodiscard]] FileContent read_blob(const StoreDir& store, const Digest& digest,
                                    std::uint64_t limit, std::error_code& ec);

}  // namespace ollamafs
