#pragma once

#include "fs/tree/cache_notice.h"
#include "fs/tree/tree.h"

namespace ollamafs {

// What the kernel may have been told of `before` and must forget now that `after` is shown. For
// each directory the names come first: to take one, the kernel waits until no listing or lookup
// from before is under way there; then its listing, which none of those can fill again
// (fs/CONSISTENCY.md).
[[nodiscard]] CacheNotices notices_between(const Tree& before, const Tree& after);

}  // namespace ollamafs
