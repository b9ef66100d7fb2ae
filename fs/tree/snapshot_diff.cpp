#include "fs/tree/snapshot_diff.h"

#include <string>
#include <tuple>

namespace ollamafs {
namespace {

using What = CacheNotice::What;

// What stat(2) shows.
auto attributes_of(const Node& node) noexcept {
  return std::tie(node.kind, node.permissions, node.uid, node.gid, node.nlink, node.size,
                  node.mtime);
}

// Names that went, came, or lead elsewhere; all of them if the directory can be had no longer, or
// again.
void compare_entries(const Tree& before, const Node& old_directory, const Tree& after,
                     const Node& new_directory, CacheNotices& notices) {
  const auto old_entries = before.entries(old_directory);
  const auto new_entries = after.entries(new_directory);
  const std::size_t first = notices.size();
  const bool is_turned = before.stand_in_name(old_directory) != after.stand_in_name(new_directory);
  const auto tell = [&](std::string_view name) {
    notices.push_back({What::entry, old_directory.ino, std::string{name}});
  };
  auto o = old_entries.begin();
  auto n = new_entries.begin();
  while (o != old_entries.end() || n != new_entries.end()) {
    if (n == new_entries.end() || (o != old_entries.end() && o->name < n->name)) {
      tell((o++)->name);
    } else if (o == old_entries.end() || n->name < o->name) {
      tell((n++)->name);
    } else {
      if (is_turned || before.node(o->node).ino != after.node(n->node).ino) tell(o->name);
      ++o, ++n;
    }
  }
  if (is_turned || notices.size() > first) notices.push_back({What::content, old_directory.ino});
}

// A number that is a digest's stays, also when another file takes the blob's place; so does that of
// a file that was made of that blob.
bool is_another_file(const Tree& before, const Node& old_node, const Tree& after,
                     const Node& new_node) {
  if (old_node.kind == NodeKind::late && new_node.kind == NodeKind::late)
    return before.knows_size(old_node) && !before.is_made_alike(old_node, after, new_node);
  return old_node.kind == NodeKind::blob && new_node.kind == NodeKind::blob &&
         before.catalog().blobs()[old_node.source].identity !=
             after.catalog().blobs()[new_node.source].identity;
}

}  // namespace

CacheNotices notices_between(const Tree& before, const Tree& after) {
  CacheNotices notices;
  for (std::uint32_t i = 0; i < before.node_count(); ++i) {
    const Node& old_node = before.node(i);
    const Node* const new_node = after.find(old_node.ino);
    if (!new_node) continue;  // no name leads to it any more; whoever has it open keeps it
    const std::size_t first = notices.size();
    if (old_node.is_directory() && new_node->is_directory())
      compare_entries(before, old_node, after, *new_node, notices);
    if (is_another_file(before, old_node, after, *new_node)) {
      notices.push_back({What::content, old_node.ino});
    } else if (notices.size() == first && attributes_of(old_node) != attributes_of(*new_node)) {
      notices.push_back({What::attributes, old_node.ino});
    }
  }
  return notices;
}

}  // namespace ollamafs
