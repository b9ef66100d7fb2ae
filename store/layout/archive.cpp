#include "store/layout/archive.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

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

std::vector<ArchiveMember> archive_members(std::span<const Model* const> models,
                                           const std::set<Digest>& without) {
  std::vector<ArchiveMember> blobs, manifests;
  for (const Model* model : models) {
    for (const BlobRef& blob : model->manifest->blobs) {
      if (!without.contains(blob.digest))
        blobs.push_back({blob.digest.blob_path(), blob.size, blob.digest, nullptr});
    }
    manifests.push_back({portable_manifest_path(*model), model->manifest->bytes.size(),
                         model->manifest->digest, model});
  }
  if (models.size() > 1) {  // the blobs of one are sorted, and each is there once
    std::ranges::stable_sort(blobs, {}, &ArchiveMember::digest);
    const auto again = std::ranges::unique(blobs, {}, &ArchiveMember::digest);
    blobs.erase(again.begin(), again.end());
    std::ranges::sort(manifests, {}, &ArchiveMember::path);
  }
  std::ranges::move(manifests, std::back_inserter(blobs));
  return blobs;
}

Layout archive_layout(std::span<const ArchiveMember> members) {
  Layout::Builder tar;
  for (const ArchiveMember& member : members) {
    tar.generated(tar_header(member.path, member.size, content_time(member.digest)));
    if (member.of_model) {
      tar.generated(member.of_model->manifest->bytes);
    } else {
      tar.blob(member.digest, member.size);
    }
    tar.zeros(tar_padding(member.size));
  }
  tar.zeros(kEndOfArchive);
  return std::move(tar.zeros(tar_padding(tar.size(), kTarRecord))).finish();
}

Layout archive_layout(const Model& model) {
  const Model* const models[] = {&model};
  return archive_layout(archive_members(models));
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
