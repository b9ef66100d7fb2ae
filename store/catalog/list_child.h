#pragma once

#include <functional>
#include <memory>

#include "store/catalog/tag_reader.h"

namespace ollamafs {

// The runnable manifest that stands for a list (docs/store-format.md §3.3, §3.4): of the children
// that are in the store the first complete one, in the order ggml (the original that every version
// can load), llamacpp (the converted one), mlx, any other. Children that were never pulled are
// normal. If none is complete, the first that is here, with its faults; if none is here, a lost
// manifest with the list's digest, and as its faults why the children cannot be had. Never null.
[[nodiscard]] std::shared_ptr<const StoredManifest> choose_child(
    const StoredList& stored, TagReader& reader,
    const std::function<bool(const StoredManifest&)>& is_complete);

// The same where the children are not in a store: `read_blob` stands for TagReader::read_blob.
[[nodiscard]] std::shared_ptr<const StoredManifest> choose_child(
    const StoredList& stored, const std::function<TagResult(const Digest&)>& read_blob,
    const std::function<bool(const StoredManifest&)>& is_complete);

}  // namespace ollamafs
