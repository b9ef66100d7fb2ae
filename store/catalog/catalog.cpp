#include "store/catalog/catalog.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

bool are_equal(const StoredManifest& a, const StoredManifest& b) noexcept {
  return &a == &b || (a.digest == b.digest && a.bytes == b.bytes && a.faults == b.faults);
}

}  // namespace

bool Model::operator==(const Model& other) const noexcept {
  return std::tie(name, shown, view_name, tag_path, mtime, uid, gid, blobs, faults) ==
             std::tie(other.name, other.shown, other.view_name, other.tag_path, other.mtime,
                      other.uid, other.gid, other.blobs, other.faults) &&
         are_equal(*manifest, *other.manifest);
}

bool Catalog::operator==(const Catalog& other) const noexcept {
  return std::tie(is_gone_, models_, blobs_, problems_) ==
         std::tie(other.is_gone_, other.models_, other.blobs_, other.problems_);
}

bool Catalog::is_provisional() const noexcept {
  return !unread_.empty() ||
         std::ranges::any_of(blobs_, [](const Blob& blob) { return is_disk_failure(blob.error); });
}

std::shared_ptr<const Catalog> Catalog::empty() {
  return without_models(false);
}

std::shared_ptr<const Catalog> Catalog::gone() {
  return without_models(true);
}

std::shared_ptr<const Catalog> Catalog::without_models(bool is_gone) {
  std::shared_ptr<Catalog> out{new Catalog};
  out->is_gone_ = is_gone;
  out->index_users();
  return out;
}

void Catalog::index_users() {
  users_start_.assign(blobs_.size() + 1, 0);
  for (const Model& model : models_) {
    for (const std::uint32_t blob : model.blobs) ++users_start_[blob + 1];
  }
  std::partial_sum(users_start_.begin(), users_start_.end(), users_start_.begin());
  users_.resize(users_start_.back());
  std::vector<std::uint32_t> next{users_start_.begin(), users_start_.end() - 1};
  for (std::uint32_t i = 0; i < models_.size(); ++i) {
    for (const std::uint32_t blob : models_[i].blobs) users_[next[blob]++] = i;
  }
}

std::optional<std::uint32_t> Catalog::blob_index(const Digest& digest) const noexcept {
  const auto it = std::ranges::lower_bound(blobs_, digest, {}, &Blob::digest);
  if (it == blobs_.end() || it->digest != digest) return std::nullopt;
  return static_cast<std::uint32_t>(it - blobs_.begin());
}

std::span<const std::uint32_t> Catalog::users(std::uint32_t blob) const noexcept {
  return std::span{users_}.subspan(users_start_[blob], users_start_[blob + 1] - users_start_[blob]);
}

const Model* Catalog::at_view_name(std::string_view view_name) const noexcept {
  const auto it = std::ranges::lower_bound(models_, view_name, {}, &Model::view_name);
  return it == models_.end() || it->view_name != view_name ? nullptr : &*it;
}

}  // namespace ollamafs
