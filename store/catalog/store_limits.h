#pragma once

#include <cstddef>
#include <cstdint>

namespace ollamafs {

// What a store may hold at most. Far beyond what people have: ten thousand models are 40,000
// entries and 10 MB of manifests. A store that others fill must not take all memory, and what is
// shown of a store is all of it: with more, it is refused as a whole.
struct StoreLimits {
  std::size_t entries = 500'000;  // in one tree of manifests, folders included
  std::uint64_t manifest_bytes = std::uint64_t{1} << 30;  // in all
};

}  // namespace ollamafs
