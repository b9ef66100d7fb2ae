#include "store/layout/archive.h"

#include <algorithm>
#include <limits>

#include "store/layout/tar_header.h"

namespace ollamafs {
namespace {

constexpr std::uint64_t kEndOfArchive = 2 * kTarBlock;

std::uint64_t member_size(std::string_view path, std::uint64_t size) {
  return tar_header_size(path, size) + size + tar_padding(size);
}

}  // namespace

std::string portable_manifest_path(const Model& model) {
  return "manifests/" + model.name.v1_path();
}

Layout archive_layout(const Model& model) {
  const StoredManifest& manifest = *model.manifest;
  Layout::Builder tar;
  for (const BlobRef& blob : manifest.blobs) {
    tar.generated(tar_header(blob.digest.blob_path(), blob.size, content_time(blob.digest)))
        .blob(blob.digest, blob.size)
        .zeros(tar_padding(blob.size));
  }
  tar.generated(tar_header(portable_manifest_path(model), manifest.bytes.size(),
                           content_time(manifest.digest)))
      .generated(manifest.bytes)
      .zeros(tar_padding(manifest.bytes.size()))
      .zeros(kEndOfArchive);
  return std::move(tar.zeros(tar_padding(tar.size(), kTarRecord))).finish();
}

std::uint64_t archive_size(const Model& model) {
  constexpr std::uint64_t max = std::numeric_limits<std::int64_t>::max();
  const StoredManifest& manifest = *model.manifest;
  std::uint64_t total =
      member_size(portable_manifest_path(model), manifest.bytes.size()) + kEndOfArchive;
  const std::string blob_path = Digest{}.blob_path();  // as long as any other
  for (const BlobRef& blob : manifest.blobs) {
    if (blob.size > max - total) return max;
    total = std::min(max, total + member_size(blob_path, blob.size));
  }
  return std::min(max, total + tar_padding(total, kTarRecord));
}

}  // namespace ollamafs
