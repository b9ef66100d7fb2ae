#include "store/upkeep/usage.h"

#include <algorithm>
#include <map>
#include <set>
#include <system_error>
#include <utility>

namespace ollamafs {
namespace {

// What is behind a blob's entry; nothing if it leads nowhere.
std::uint64_t bytes_behind(const StoreDir& store, const BlobEntry& entry) {
  if (!S_ISLNK(entry.st.st_mode)) return held_bytes(entry.st);
  std::error_code ec;
  const StoreDir::Opened file = store.resolve(entry.path(), ec);
  struct stat st {};
  return ec || store.calls().fstat(file.fd.get(), st) != 0 ? 0 : held_bytes(st);
}

// What the disk gets emptier by if the entry is deleted: by nothing if it is a symlink, or if its
// file has another name.
std::uint64_t bytes_freed(const BlobEntry& entry) noexcept {
  return entry.st.st_nlink > 1 ? 0 : held_bytes(entry.st);
}

void count(EntryUsage& usage, const BlobEntry& entry) {
  ++usage.count;
  usage.bytes += held_bytes(entry.st);
}

}  // namespace

UsageMeter::UsageMeter(const StoreDir& store, const Catalog& catalog)
    : catalog_{catalog}, references_{read_references(store)}, entries_{list_blob_folder(store)} {
  for (const BlobEntry& entry : entries_) {
    // Of two spellings of one digest, the one that Ollama itself writes is the one that it reads.
    if (entry.digest &&
        (!held_.contains(*entry.digest) || entry.name == entry.digest->blob_name())) {
      held_[*entry.digest] = bytes_behind(store, entry);
      freed_[*entry.digest] = bytes_freed(entry);
    }
  }
  for (std::size_t i = 0; i < references_.tags.size(); ++i) {
    const TagReferences& tag = references_.tags[i];
    for (const auto* digests : {&tag.manifests, &tag.blobs}) {
      for (const Digest& digest : *digests) users_[digest].tags.push_back(i);
    }
  }
  assign_tags();
}

// To delete a model that is in v2 is to delete its v1 files too, in every spelling of the host; of
// models that are in v1 alone, each spelling is one of its own.
void UsageMeter::assign_tags() {
  std::map<std::string, std::size_t> by_path;
  std::multimap<std::string, std::size_t> v1_by_name;
  for (std::size_t i = 0; i < references_.tags.size(); ++i) {
    const TagReferences& one = references_.tags[i];
    if (one.is_shadow) continue;
    by_path.emplace(one.tag.path, i);
    if (one.tag.tree == TreeKind::v1) v1_by_name.emplace(one.tag.name.logical_name(), i);
  }
  for (const Model& model : catalog_.models()) {
    std::vector<std::size_t>& tags = model_tags_.emplace_back();
    const auto own = by_path.find(model.tag_path);
    if (own != by_path.end()) tags.push_back(own->second);
    if (model.tag_path.starts_with(std::string{tree_folder(TreeKind::v2)} + "/")) {
      const auto [begin, end] = v1_by_name.equal_range(model.name.logical_name());
      for (auto it = begin; it != end; ++it) tags.push_back(it->second);
    }
  }
}

std::uint64_t UsageMeter::held(const Digest& digest) const {
  const auto it = held_.find(digest);
  return it == held_.end() ? 0 : it->second;
}

std::uint64_t UsageMeter::freed(const Digest& digest) const {
  const auto it = freed_.find(digest);
  return it == freed_.end() ? 0 : it->second;
}

ModelUsage UsageMeter::together(const std::vector<std::size_t>& models) const {
  std::set<std::size_t> tags;
  for (const std::size_t model : models) {
    tags.insert(model_tags_[model].begin(), model_tags_[model].end());
  }
  ModelUsage usage;
  std::set<Digest> manifests, blobs;
  for (const std::size_t i : tags) {
    const TagReferences& tag = references_.tags[i];
    usage.manifests += tag.entry_bytes;
    usage.frees += tag.entry_bytes;
    manifests.insert(tag.manifests.begin(), tag.manifests.end());
    blobs.insert(tag.blobs.begin(), tag.blobs.end());
  }
  for (const Digest& digest : manifests) blobs.erase(digest);  // an older manifest may name one
  const auto is_own = [&](const Digest& digest) {
    return std::ranges::includes(tags, users_.at(digest).tags);
  };
  for (const Digest& digest : manifests) {
    usage.manifests += held(digest);
    if (is_own(digest)) usage.frees += freed(digest);
  }
  for (const Digest& digest : blobs) {
    usage.all += held(digest);
    (is_own(digest) ? usage.own : usage.shared) += held(digest);
    if (is_own(digest)) usage.frees += freed(digest);
  }
  return usage;
}

StoreUsage UsageMeter::all() const {
  StoreUsage usage;
  for (std::size_t i = 0; i < catalog_.models().size(); ++i) {
    usage.models.push_back(together({i}));
  }
  std::set<Digest> manifests, blobs;
  for (const TagReferences& tag : references_.tags) {
    usage.manifests += tag.entry_bytes;
    manifests.insert(tag.manifests.begin(), tag.manifests.end());
    blobs.insert(tag.blobs.begin(), tag.blobs.end());
  }
  for (const Digest& digest : manifests) {
    usage.manifests += held(digest);
    blobs.erase(digest);
  }
  for (const Digest& digest : blobs) usage.blobs += held(digest);
  for (const BlobEntry& entry : entries_) {
    if (entry.kind == BlobEntryKind::partial) count(usage.partials, entry);
    if (entry.kind == BlobEntryKind::foreign) count(usage.foreign, entry);
    if (entry.digest && !references_.named.contains(*entry.digest)) count(usage.orphans, entry);
  }
  usage.doubts = references_.doubts;
  return usage;
}

}  // namespace ollamafs
