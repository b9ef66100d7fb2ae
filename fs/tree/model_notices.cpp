#include "fs/tree/model_notices.h"

#include <algorithm>
#include <string>

namespace ollamafs {
namespace {

using What = CacheNotice::What;

template <class Visit>
void for_each_directory(const Tree& tree, std::span<const std::uint32_t> models, Visit&& visit) {
  if (models.empty()) return;
  for (std::uint32_t i = 0; i < tree.node_count(); ++i) {
    const Node& node = tree.node(i);
    if (node.is_directory() && std::ranges::binary_search(models, node.model)) visit(node);
  }
}

}  // namespace

CacheNotices blob_listings_of(const Tree& tree, std::span<const std::uint32_t> models) {
  CacheNotices notices;
  for (const std::uint32_t model : models) {
    const Node* const own = tree.model_directory(tree.catalog().models()[model].view_name);
    const Node* const blobs = own ? tree.lookup(*own, Tree::kBlobs) : nullptr;
    if (blobs) notices.push_back({What::content, blobs->ino});
  }
  return notices;
}

CacheNotices ways_through(const Tree& tree, std::span<const std::uint32_t> models) {
  CacheNotices notices;
  for_each_directory(tree, models, [&](const Node& directory) {
    for (const Dentry& entry : tree.entries(directory)) {
      if (tree.node(entry.node).model == directory.model)
        notices.push_back({What::entry, directory.ino, std::string{entry.name}});
    }
    notices.push_back({What::content, directory.ino});
  });
  return notices;
}

}  // namespace ollamafs
