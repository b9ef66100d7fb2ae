#include "fs/tree/tree_builder.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <limits>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "fs/tree/cookies.h"

namespace ollamafs {
namespace {

// A tree of a model more than the last one had must not take twice the memory. What is not written
// to costs nothing.
std::size_t with_some_more(std::size_t count) {
  return count + count / 16;
}

Layout blob_layout(const Tree& tree, const Node& node) {
  Layout::Builder builder;
  builder.blob(tree.catalog().blobs()[node.source].digest, node.size);
  return std::move(builder).finish();
}

constexpr std::int64_t kOldest = std::numeric_limits<std::int64_t>::min();

// FAT keeps steps of two seconds.
std::int64_t manifest_time(const Model& model) {
  return model.mtime & ~std::int64_t{1};
}

std::int64_t newest_time(const Catalog& catalog) {
  std::int64_t newest = catalog.models().empty() ? content_time(Digest{}) : kOldest;
  for (const Model& model : catalog.models()) newest = std::max(newest, manifest_time(model));
  return newest;
}

Layout layout_of_text(std::string_view text) {
  Layout::Builder builder;
  builder.generated(text);
  return std::move(builder).finish();
}

Layout late_layout(const Tree& tree, const Node& node) {
  auto content = tree.late_content(node);
  if (!content) throw std::system_error{EIO, std::generic_category(), "a file that cannot be made"};
  return *std::move(content);
}

}  // namespace

TreeBuilder::TreeBuilder(std::shared_ptr<const Catalog> catalog,
                         std::shared_ptr<const Catalog> stored, const TreeOptions& options,
                         const Tree* previous, InodeNumbers numbers)
    : options_{options}, previous_{previous}, numbers_{std::move(numbers)}, tree_{new Tree} {
  blob_nodes_.resize(catalog->blobs().size());
  // Each model has its directories, its manifest and its archive, and there is room for groups.
  const std::size_t least = catalog->models().size() * 9 + catalog->blobs().size();
  const std::size_t nodes = with_some_more(std::max(least, previous ? previous->node_count() : 0));
  numbers_.reserve(nodes);
  tree_->nodes_.reserve(nodes);
  links_.reserve(nodes);
  tree_->catalog_ = std::move(catalog);
  tree_->stored_ = std::move(stored);
  tree_->awake_ = options_.awake;
  tree_->split_ = options_.split;
  tree_->store_ = options_.store;
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
  add_stand_in();
}

// With a size, so that no tool makes the file without opening this one.
void TreeBuilder::add_stand_in() {
  const InodeNumber number = numbers_.assign(inode_identity({"stand-in"}));
  Node& node =
      tree_->nodes_[add(NodeKind::stand_in, number, options_.store_uid, options_.store_gid)];
  node.nlink = 1;
  node.size = 1;
  node.mtime = content_time(Digest{});
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
  link_kept(parent, tree_->names_.add(name), node);
}

void TreeBuilder::link_kept(NodeIndex parent, std::string_view name, NodeIndex node) {
  links_.push_back({name, parent, node});
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

TreeBuilder::NodeIndex TreeBuilder::view_group(NodeIndex parent, std::string_view name) {
  const NodeIndex index = group(parent, name);
  view_groups_.insert(index);
  return index;
}

void TreeBuilder::sleeping_group(NodeIndex parent, std::string_view name, View view) {
  tree_->nodes_[view_group(parent, name)].asleep = view;
  tree_->asleep_.add(view);
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
  node.mtime = manifest_time(of);
  link(parent, name, index);
  return index;
}

const Node* TreeBuilder::before(NodeIndex directory) const noexcept {
  const Node& now = tree_->nodes_[directory];
  const Node* const node = previous_ ? previous_->find(now.ino) : nullptr;
  if (!node || !node->is_directory() || node->model == Node::kNone) return nullptr;
  // Two identities may have one number, in different trees.
  const Model& model = catalog().models()[now.model];
  const Model& then = *previous_->model(*node);
  const bool is_same = then.view_name == model.view_name && then.name == model.name &&
                       then.manifest->digest == model.manifest->digest;
  return is_same ? node : nullptr;
}

TreeBuilder::NodeIndex TreeBuilder::late_model_file(NodeIndex parent, std::string_view name,
                                                    std::uint32_t model, LateContent make,
                                                    const std::string& identity) {
  const auto late = static_cast<std::uint32_t>(tree_->late_.size());
  tree_->late_.emplace_back().make = std::move(make);
  return model_file(parent, name, model, {NodeKind::late, 0, late_layout, late}, identity);
}

TreeBuilder::NodeIndex TreeBuilder::model_text(NodeIndex parent, std::string_view name,
                                               std::uint32_t model, TextRecipe recipe,
                                               const std::string& identity) {
  return late_model_file(
      parent, name, model,
      [recipe](const Tree& tree, const Node& node) { return layout_of_text(recipe(tree, node)); },
      identity);
}

TreeBuilder::NodeIndex TreeBuilder::model_file(NodeIndex parent, std::string_view name,
                                               std::uint32_t model, const Content& content,
                                               const std::string& identity) {
  const Model& of = (content.kind == NodeKind::archive ? stored() : catalog()).models()[model];
  const NodeIndex index = add(content.kind, numbers_.assign(identity), of.uid, of.gid);
  Node& node = tree_->nodes_[index];
  node.model = model;
  node.size = content.size;
  node.source = content.source;
  node.recipe = content.recipe;
  node.mtime = manifest_time(of);
  link(parent, name, index);
  return index;
}

void TreeBuilder::blob(NodeIndex parent, std::string_view name, std::uint32_t blob) {
  auto& [index, kept] = blob_nodes_[blob];
  if (index == Node::kNone) {
    const Blob& of = catalog().blobs()[blob];
    const std::string identity = inode_identity({"blob", of.digest.hex()});
    index = add(NodeKind::blob, numbers_.assign(identity), of.uid, of.gid);
    Node& node = tree_->nodes_[index];
    node.source = blob;
    node.size = of.identity.size;
    node.recipe = blob_layout;
    node.mtime = content_time(of.digest);
  }
  if (kept != name) kept = tree_->names_.add(name);
  link_kept(parent, kept, index);
}

void TreeBuilder::add_late(NodeIndex parent, std::string_view name, const std::string& identity,
                           std::int64_t mtime, LateContent make, TextSize size_of) {
  const NodeIndex index =
      add(NodeKind::late, numbers_.assign(identity), options_.store_uid, options_.store_gid);
  Node& node = tree_->nodes_[index];
  node.source = static_cast<std::uint32_t>(tree_->late_.size());
  node.recipe = late_layout;
  node.mtime = mtime;
  auto& late = tree_->late_.emplace_back();
  late.make = std::move(make);
  late.size_of = std::move(size_of);
  link(parent, name, index);
}

void TreeBuilder::text(NodeIndex parent, std::string_view name, std::string text) {
  const Digest digest = Digest::of(text);
  add_late(parent, name, inode_identity({"text", name, digest.hex()}), content_time(digest),
           [text = std::move(text)](const Tree&, const Node&) { return layout_of_text(text); });
}

void TreeBuilder::late_text(NodeIndex parent, std::string_view name, TextMaker make,
                            const std::string& identity, TextSize size_of) {
  add_late(
      parent, name, identity, newest_time(catalog()),
      [make = std::move(make)](const Tree& tree, const Node& node) {
        return layout_of_text(make(tree, node));
      },
      std::move(size_of));
}

std::shared_ptr<const Tree> TreeBuilder::finish() && {
  place_entries();
  assign_cookies();
  date_groups();
  count_links();
  keep_sizes();
  tree_->numbers_ = std::move(numbers_);
  auto& nodes = tree_->nodes_;
  if (nodes.capacity() > with_some_more(with_some_more(nodes.size()))) nodes.shrink_to_fit();
  return std::move(tree_);
}

// The entries of one directory side by side, then each directory by itself: most have one entry or
// get them in their order.
void TreeBuilder::place_entries() {
  for (const Link& link : links_) ++tree_->nodes_[link.parent].entries;
  std::uint32_t placed = 0;
  for (Node& node : tree_->nodes_) {
    if (node.entries == 0) continue;
    node.first_entry = placed;
    placed += std::exchange(node.entries, 0);
  }
  tree_->entries_.resize(placed);
  for (const Link& link : links_) {
    Node& parent = tree_->nodes_[link.parent];
    tree_->entries_[parent.first_entry + parent.entries++] = {link.name, link.node, 0};
  }
  for (const Node& node : tree_->nodes_) sort_entries(node);
}

void TreeBuilder::sort_entries(const Node& directory) {
  const auto entries = std::span{tree_->entries_}.subspan(directory.first_entry, directory.entries);
  const auto disorder = [&] {
    return std::ranges::adjacent_find(entries, std::ranges::greater_equal{}, &Dentry::name);
  };
  if (disorder() == entries.end()) return;
  std::ranges::sort(entries, {}, &Dentry::name);
  if (const auto twin = disorder(); twin != entries.end()) {
    throw std::logic_error{"two entries of one name: " + std::string{twin->name}};
  }
}

void TreeBuilder::assign_cookies() {
  for (const Node& node : tree_->nodes_) {
    if (node.entries == 0) continue;
    const std::span all{tree_->entries_};
    const Node* const before = previous_ ? previous_->find(node.ino) : nullptr;
    ollamafs::assign_cookies(all.subspan(node.first_entry, node.entries),
                             before ? previous_->entries(*before) : std::span<const Dentry>{});
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
    group.mtime = group.entries == 0 ? content_time(Digest{}) : kOldest;
    std::uint64_t all = 0;
    for (const Dentry& entry : tree_->entries(group)) {
      const Node& node = tree_->node(entry.node);
      group.mtime = std::max(group.mtime, node.mtime);
      all = (all ^ inode_hash(entry.name) ^ node.ino) * 0x100000001b3;
    }
    group.change = static_cast<std::uint32_t>((all >> 16) % 1'000'000'000);
    if (view_groups_.contains(index)) group.mtime = newest_time(catalog());
  }
}

// The kernel keeps the size of a late file from one tree to the next. Should the same blobs give
// another by now, as when one of them could not be read before, the file is refused, and not cut.
void TreeBuilder::keep_sizes() {
  if (!previous_) return;
  for (const Node& node : tree_->nodes_) {
    if (node.kind != NodeKind::late) continue;
    const Node* const before = previous_->find(node.ino);
    if (before && before->kind == NodeKind::late && previous_->knows_size(*before) &&
        previous_->may_keep_size(*before) && tree_->is_made_alike(node, *previous_, *before)) {
      tree_->late_[node.source].size = previous_->size_of(*before);
    }
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
  // As file systems say it that do not count subdirectories: find(1) must not take it for a leaf.
  for (Node& node : tree_->nodes_) {
    if (node.asleep) node.nlink = 1;
  }
}

}  // namespace ollamafs
