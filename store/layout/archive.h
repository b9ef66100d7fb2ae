#pragma once

// Room store/layout: Files that are put together from blobs: where each byte of an archive
// comes from.

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

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

// A member of a tar of models.
struct ArchiveMember {
  std::string path;       // below the models folder
  std::uint64_t size;     // bytes
  Digest digest;          // SHA-256 of its content
  const Model* of_model;  // whose manifest it is; null: it is a blob
};

// The members of one tar of several whole models, in their order: all blobs, each once, in the
// order of their digests, but for those in `without`; then the manifests, in the order of their
// paths. So a tar that was cut has the manifest of no model whose blobs it lacks.
[[nodiscard]] std::vector<ArchiveMember> archive_members(std::span<const Model* const> models,
                                                         const std::set<Digest>& without = {});

// That tar. Of one model with all its blobs it is archive_layout(model). Layout::blobs() are the
// digests of its blobs, in the order of the members.
[[nodiscard]] Layout archive_layout(std::span<const ArchiveMember> members);

// The size of that tar in bytes, without putting it together. Of a model that is not whole: what it
// would be if the blobs were as the manifest says; never more than 2^63 - 1.
[[nodiscard]] std::uint64_t archive_size(const Model& model);

}  // namespace ollamafs
