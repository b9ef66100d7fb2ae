#pragma once

#include <string>
#include <vector>

#include "store/catalog/tag_tree.h"

namespace ollamafs {

// All tags of a store: every entry of both trees, before anything chooses between two that stand
// for one name. What a tag leads to, TagReader::read() tells.
struct StoreTags {
  TagListing v1;
  TagListing v2;
};

// Lists both trees; a tree that is missing has no tags. Throws std::system_error that names the
// path if a tree cannot be listed at all: a store that cannot be listed is not an empty store. Else
// as list_tags, which this calls with `memory` and `limits`.
[[nodiscard]] StoreTags list_all_tags(const StoreDir& store, StoreMemory* memory = nullptr,
                                      const StoreLimits& limits = {});

}  // namespace ollamafs
