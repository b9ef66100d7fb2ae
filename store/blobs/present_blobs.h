#pragma once

#include <cstdint>
#include <map>
#include <system_error>

#include "store/folder/store_dir.h"
#include "store/model/digest.h"

namespace ollamafs {

// The blobs that blobs/ of a store holds under their final names (sha256-HEX, in lower case), with
// their sizes in bytes, whether a manifest names them or not: regular files that can be read. What
// a pull has not finished has other names. `ec` is why blobs/ cannot be listed; a store without
// that folder has no blobs.
[[nodiscard]] std::map<Digest, std::uint64_t> present_blobs(const StoreDir& store,
                                                            std::error_code& ec);

}  // namespace ollamafs
