#pragma once

#include <cstdint>
#include <span>

#include "fs/tree/cache_notice.h"
#include "fs/tree/tree.h"

namespace ollamafs {

// What the kernel must forget of some models, although no name or number has changed. The models
// are indexes of the tree's catalog, ascending.

// The listings of their blobs/: that a process lists such a one anew must be seen.
[[nodiscard]] CacheNotices blob_listings_of(const Tree& tree,
                                            std::span<const std::uint32_t> models);

// The listings of all their directories, and what leads on from them: from now on that can neither
// be listed nor looked up, not even in the kernel's memory.
[[nodiscard]] CacheNotices ways_through(const Tree& tree, std::span<const std::uint32_t> models);

}  // namespace ollamafs
