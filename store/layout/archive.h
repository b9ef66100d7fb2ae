#pragma once

// Room store/layout: Files that are put together from blobs: where each byte of an archive
// comes from.

#include <cstdint>
#include <string>

#include "store/catalog/catalog.h"
#include "store/layout/layout.h"

namespace ollamafs {

// Where the manifest stands in a models folder that holds the model in its portable form
// (docs/store-format.md §3.4): "manifests/" and the v1 path, whichever tree it came from.
[[nodiscard]] std::string portable_manifest_path(const Model& model);

// The tar of a model (docs/view.md §3): its blobs in the order of their digests, then its manifest.
// A pure function of the model's name and manifest: the same bytes on every machine and in every
// release. `model` must be whole. Layout::blobs() are the model's blobs, in the order of
// Model::blobs.
[[nodiscard]] Layout archive_layout(const Model& model);

// The size of that tar in bytes, without putting it together. Of a model that is not whole: what it
// would be if the blobs were as the manifest says; never more than 2^63 - 1.
[[nodiscard]] std::uint64_t archive_size(const Model& model);

}  // namespace ollamafs
