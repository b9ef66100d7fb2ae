#pragma once

#include <memory>
#include <optional>

#include "store/blobs/blob_pool.h"
#include "store/catalog/catalog.h"
#include "store/layout/layout.h"
#include "store/layout/open_layout.h"

namespace ollamafs {

// Opens the blobs that a layout reads, as `catalog` has them, each once. Null, with the reason in
// `failure`, if one of them cannot be had: as of BlobPool::open, and ENOENT if the catalog has no
// such blob. `pool` must outlive the result.
[[nodiscard]] std::shared_ptr<const OpenLayout> open_layout(
    BlobPool& pool, const Catalog& catalog, Layout layout,
    std::optional<OpenLayout::Failure>& failure);

// The same for the tar of a model of the catalog, which must be whole: what is mounted and what is
// exported are this very object.
[[nodiscard]] std::shared_ptr<const OpenLayout> open_archive(
    BlobPool& pool, const Catalog& catalog, const Model& model,
    std::optional<OpenLayout::Failure>& failure);

// Whether an open file still reads the files that the catalog has for its blobs, and these are what
// they were when they were opened.
[[nodiscard]] bool is_current(const OpenLayout& open, const Catalog& catalog);

}  // namespace ollamafs
