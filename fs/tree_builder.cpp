#include "fs/tree_builder.h"

#include <algorithm>
#include <stdexcept>

#include "fs/cookies.h"

namespace ollamafs {

TreeBuilder::TreeBuilder(std::shared_ptr<const Catalog> catalog, const TreeOptions& options,
                         InodeNumbers numbers)
    : options_{options}, numbers_{std::move(numbers)}, tree_{new Tree} {
  blob_nodes_.assign(catalog->blobs().size(), Node::kNone);
  // Each model has its directories, its manifest and its archive; most blobs have one name.
  const std::size_t nodes = catalog->models().size() * 8 + catalog->blobs().size();
  numbers_.reserve(nodes);
  tree_->nodes_.reserve(nodes);
  links_.reserve(nodes);
  tree_->catalog_ = std::move(catalog);
  const NodeIndex root =
      add(NodeKind::directory, kRootInode, options_.store_uid, options_.store_gid);
  Node& node = tree_->nodes_[root];
  node.parent = root;
  if (options_.root) {
    node.permissions = options_.root->permissions;
    node.uid = options_.root->uid;
    node.gid = options_.root->gid;
  }
  group_paths_.emplace(root, "");
}

TreeBuilder::NodeIndex TreeBuilder::add(NodeKind kind, InodeNumber ino, uid_t uid, gid_t gid) {
  Node& node = tree_->nodes_.emplace_back();
  node.ino = ino;
  node.kind = kind;
  node.permissions = kind == NodeKind::directory ? 0755 : 0644;
  node.uid = options_.uid.value_or(uid);
  node.gid = options_.gid.value_or(gid);
  return static_cast<NodeIndex>(tree_->nodes_.size() - 1);
}

void TreeBuilder::link(NodeIndex parent, std::string_view name, NodeIndex node) {
  links_.push_back({parent, tree_->names_.intern(name), node});
  if (tree_->nodes_[node].is_directory()) tree_->nodes_[node].parent = parent;
}

TreeBuilder::NodeIndex TreeBuilder::group(NodeIndex parent, std::string_view name) {
  const std::string path = group_paths_.at(parent) + "/" + std::string{name};
  const auto [it, is_new] = groups_.try_emplace(path, Node::kNone);
  if (is_new) {
    it->second = add(NodeKind::directory, numbers_.assign(inode_identity({"group", path})),
                     options_.store_uid, options_.store_gid);
    group_paths_.emplace(it->second, path);
    link(parent, name, it->second);
  }
  return it->second;
}

TreeBuilder::NodeIndex TreeBuilder::groups_of(NodeIndex parent, std::string_view& path) {
  for (std::size_t slash; (slash = path.find('/')) != std::string_view::npos;) {
    parent = group(parent, path.substr(0, slash));
    path.remove_prefix(slash + 1);
  }
  return parent;
}

TreeBuilder::NodeIndex TreeBuilder::model_directory(NodeIndex parent, std::string_view name,
                                                    std::uint32_t model,
                                                    const std::string& identity, bool late) {
  const Model& of = catalog().models()[model];
  const NodeIndex index = add(NodeKind::directory, numbers_.assign(identity, late), of.uid, of.gid);
  Node& node = tree_->nodes_[index];
  node.model = model;
  node.mtime = content_time(of.manifest->digest);
  link(parent, name, index);
  return index;
}

TreeBuilder::NodeIndex TreeBuilder::model_file(NodeIndex parent, std::string_view name,
                                               std::uint32_t model, NodeKind kind,
                                               std::uint64_t size, const std::string& identity) {
  const Model& of = catalog().models()[model];
  const NodeIndex index = add(kind, numbers_.assign(identity), of.uid, of.gid);
  Node& node = tree_->nodes_[index];
  node.model = model;
  node.size = size;
  node.mtime = content_time(of.manifest->digest);
  link(parent, name, index);
  return index;
}

void TreeBuilder::blob(NodeIndex parent, std::string_view name, std::uint32_t blob) {
  NodeIndex& index = blob_nodes_[blob];
  if (index == Node::kNone) {
    const Blob& of = catalog().blobs()[blob];
    const std::string identity = inode_identity({"blob", of.digest.hex()});
    index = add(NodeKind::blob, numbers_.assign(identity), of.uid, of.gid);
    Node& node = tree_->nodes_[index];
    node.source = blob;
    node.size = of.identity.size;
    node.mtime = content_time(of.digest);
  }
  link(parent, name, index);
}

void TreeBuilder::text(NodeIndex parent, std::string_view name, std::string text) {
  const Digest digest = Digest::of(text);
  const std::string identity = inode_identity({"text", name, digest.hex()});
  const NodeIndex index =
      add(NodeKind::text, numbers_.assign(identity), options_.store_uid, options_.store_gid);
  Node& node = tree_->nodes_[index];
  node.source = static_cast<std::uint32_t>(tree_->texts_.size());
  node.size = text.size();
  node.mtime = content_time(digest);
  tree_->texts_.push_back(std::move(text));
  link(parent, name, index);
}

std::shared_ptr<const Tree> TreeBuilder::finish(const Tree* previous) && {
  place_entries();
  assign_cookies(previous);
  date_groups();
  count_links();
  index_numbers();
  tree_->names_.close();
  tree_->nodes_.shrink_to_fit();
  return std::move(tree_);
}

void TreeBuilder::place_entries() {
  std::ranges::sort(links_, {}, [](const Link& link) { return std::tie(link.parent, link.name); });
  tree_->entries_.reserve(links_.size());
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const Link& link = links_[i];
    if (i > 0 && links_[i - 1].parent == link.parent && links_[i - 1].name == link.name) {
      throw std::logic_error{"two entries of one name: " + std::string{link.name}};
    }
    Node& parent = tree_->nodes_[link.parent];
    if (parent.entries++ == 0) parent.first_entry = static_cast<std::uint32_t>(i);
    tree_->entries_.push_back({link.name, link.node, 0});
  }
}

void TreeBuilder::assign_cookies(const Tree* previous) {
  for (const Node& node : tree_->nodes_) {
    if (node.entries == 0) continue;
    const std::span all{tree_->entries_};
    const Node* const before = previous ? previous->find(node.ino) : nullptr;
    ollamafs::assign_cookies(all.subspan(node.first_entry, node.entries),
                             before ? previous->entries(*before) : std::span<const Dentry>{});
  }
}

// A group is made before what it leads to, so going backwards every entry has its time already.
// What comes or goes may be older than what stays, so the time does not tell that there was a
// change. But NFS knows by mtime and ctime alone (RFC 8881, section 5.8.1.4) when what it keeps of
// a directory is outdated. So ctime has a number in its nanoseconds that is another for other
// entries: like all that is shown, a function of what the store holds.
void TreeBuilder::date_groups() {
  for (auto index = static_cast<NodeIndex>(tree_->nodes_.size()); index-- > 0;) {
    if (!group_paths_.contains(index)) continue;
    Node& group = tree_->nodes_[index];
    group.mtime = content_time(Digest{});
    std::uint64_t all = 0;
    for (const Dentry& entry : tree_->entries(group)) {
      const Node& node = tree_->node(entry.node);
      group.mtime = std::max(group.mtime, node.mtime);
      all = (all ^ inode_hash(entry.name) ^ node.ino) * 0x100000001b3;
    }
    group.change = static_cast<std::uint32_t>((all >> 16) % 1'000'000'000);
  }
}

void TreeBuilder::count_links() {
  for (const Link& link : links_) {
    Node& node = tree_->nodes_[link.node];
    ++node.nlink;
    if (node.is_directory()) {
      ++node.nlink;                        // its "."
      ++tree_->nodes_[link.parent].nlink;  // its ".."
    }
  }
  tree_->nodes_[kRoot].nlink += 2;
}

void TreeBuilder::index_numbers() {
  tree_->index_.reserve(tree_->nodes_.size());
  for (NodeIndex i = 0; i < tree_->nodes_.size(); ++i) {
    tree_->index_.emplace_back(tree_->nodes_[i].ino, i);
  }
  std::ranges::sort(tree_->index_);
}

}  // namespace ollamafs
