#include "store/layout/open_archive.h"

#include <system_error>
#include <utility>
#include <vector>

#include "store/layout/archive.h"

namespace ollamafs {

std::shared_ptr<const OpenLayout> open_layout(BlobPool& pool, const Catalog& catalog, Layout layout,
                                              std::optional<OpenLayout::Failure>& failure) {
  failure.reset();
  std::vector<std::shared_ptr<const OpenBlob>> blobs;
  blobs.reserve(layout.blobs().size());
  for (const Digest& digest : layout.blobs()) {
    const auto index = catalog.blob_index(digest);
    if (!index) {
      failure = {std::make_error_code(std::errc::no_such_file_or_directory), digest, {}};
      return nullptr;
    }
    const Blob& blob = catalog.blobs()[*index];
    std::error_code ec;
    blobs.push_back(pool.open(blob, ec));
    if (!ec) continue;
    failure = {ec, digest, blob.identity};
    return nullptr;
  }
  return std::make_shared<const OpenLayout>(std::move(layout), std::move(blobs));
}

std::shared_ptr<const OpenLayout> open_archive(BlobPool& pool, const Catalog& catalog,
                                               const Model& model,
                                               std::optional<OpenLayout::Failure>& failure) {
  return open_layout(pool, catalog, archive_layout(model), failure);
}

bool is_current(const OpenLayout& open, const Catalog& catalog) {
  std::vector<const Blob*> blobs;
  for (const Digest& digest : open.layout().blobs()) {
    const auto index = catalog.blob_index(digest);
    if (!index) return false;
    blobs.push_back(&catalog.blobs()[*index]);
  }
  return open.reads(blobs) && open.check().empty();
}

}  // namespace ollamafs
