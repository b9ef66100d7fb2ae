#pragma once

#include <sys/types.h>

#include <string>
#include <system_error>

#include "store/base/file_identity.h"
#include "store/folder/store_dir.h"
#include "store/model/digest.h"

namespace ollamafs {

// A blob that at least one model names, as it was found on disk.
struct Blob {
  Digest digest;
  std::error_code error;  // why it cannot be had, as of StoreDir::open_file; none: it is good
  FileIdentity identity;  // of a good blob; its size is the blob's real size
  uid_t uid = 0;
  gid_t gid = 0;
  bool outside = false;  // a symlink led out of the store

  [[nodiscard]] bool good() const noexcept { return !error; }

  bool operator==(const Blob&) const = default;
};

// Looks at the file of the blob `digest` without opening it: good is a regular file that this
// process may read. `alone` gets is_alone() of its entry in blobs/.
[[nodiscard]] Blob inspect_blob(const StoreDir& store, const Digest& digest, bool* alone = nullptr);

}  // namespace ollamafs
