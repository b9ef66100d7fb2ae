#include "store/catalog/tags.h"

#include <system_error>

namespace ollamafs {
namespace {

// A tree may be missing, and it may be a link that is not followed or a file, which the listing
// complains of.
void refuse_unlistable(const StoreDir& store, const std::string& folder) {
  std::error_code ec;
  (void)store.open_directory(folder, ec);
  if (!ec || ec == std::errc::no_such_file_or_directory || ec == std::errc::not_a_directory ||
      ec == std::errc::cross_device_link) {
    return;
  }
  throw std::system_error{ec, (store.path() / folder).string()};
}

TagListing list_tree(const StoreDir& store, TreeKind tree, StoreMemory* memory,
                     const StoreLimits& limits) {
  refuse_unlistable(store, tree_folder(tree));
  return list_tags(store, tree, memory, limits);
}

}  // namespace

StoreTags list_all_tags(const StoreDir& store, StoreMemory* memory, const StoreLimits& limits) {
  TagListing v1 = list_tree(store, TreeKind::v1, memory, limits);
  return {std::move(v1), list_tree(store, TreeKind::v2, memory, limits)};
}

}  // namespace ollamafs
