#include "fs/tree/tree.h"

#include <algorithm>

namespace ollamafs {

const Node* Tree::find(InodeNumber ino) const noexcept {
  const auto index = numbers_.find(ino);
  return index ? &nodes_[*index] : nullptr;
}

std::span<const Dentry> Tree::entries(const Node& directory) const noexcept {
  return std::span{entries_}.subspan(directory.first_entry, directory.entries);
}

std::span<const Dentry> Tree::entries_after(const Node& directory,
                                            std::uint64_t cookie) const noexcept {
  const auto all = entries(directory);
  const auto it = std::ranges::upper_bound(all, cookie, {}, &Dentry::cookie);
  return all.subspan(static_cast<std::size_t>(it - all.begin()));
}

const Node* Tree::lookup(const Node& directory, std::string_view name) const noexcept {
  if (name == ".") return &directory;
  if (!directory.is_directory()) return nullptr;
  if (name == "..") return &nodes_[directory.parent];
  const auto all = entries(directory);
  const auto it = std::ranges::lower_bound(all, name, {}, &Dentry::name);
  return it == all.end() || it->name != name ? nullptr : &nodes_[it->node];
}

const Node* Tree::model_directory(std::string_view view_name) const noexcept {
  const Node* node = lookup(root(), "models");
  while (node) {
    const auto slash = view_name.find('/');
    node = lookup(*node, view_name.substr(0, slash));
    if (slash == std::string_view::npos) break;
    view_name.remove_prefix(slash + 1);
  }
  return node && is_model_directory(*node) ? node : nullptr;
}

bool Tree::is_blobs_directory(const Node& node) const noexcept {
  if (!node.is_directory() || node.model == Node::kNone) return false;
  const Node* const own = model_directory(model(node)->view_name);
  return own && lookup(*own, kBlobs) == &node;
}

std::string_view Tree::stand_in_name(const Node& directory) const noexcept {
  if (!directory.is_directory()) return {};
  if (directory.model != Node::kNone) return model(directory)->whole() ? "" : kBroken;
  return catalog_->is_gone() && &directory != &root() ? kGone : "";
}

std::uint64_t Tree::size_of(const Node& node) const {
  if (node.kind != NodeKind::late) return node.size;
  if (!knows_size(node)) {
    Late& late = late_[node.source];
    if (late.size_of) {
      late.say(late.size_of(*this, node));
    } else {
      (void)late_content(node);
    }
  }
  const std::uint64_t size = late_[node.source].size;
  return size == Late::kMissing ? 1 : size;
}

bool Tree::knows_size(const Node& node) const noexcept {
  return node.kind != NodeKind::late || late_[node.source].size != Late::kUnknown;
}

bool Tree::may_keep_size(const Node& node) const noexcept {
  return node.kind != NodeKind::late || late_[node.source].size < Late::kMissing;
}

bool Tree::is_made_alike(const Node& node, const Tree& other, const Node& of_other) const noexcept {
  const Model* const mine = model(node);
  const Model* const theirs = other.model(of_other);
  if (!mine || !theirs) return mine == theirs;
  return std::ranges::equal(mine->blobs, theirs->blobs, [&](std::uint32_t a, std::uint32_t b) {
    return catalog().blobs()[a].identity == other.catalog().blobs()[b].identity;
  });
}

// Two threads may both make it: it is the same.
std::optional<Layout> Tree::late_content(const Node& node) const {
  Late& late = late_[node.source];
  auto content = late.make(*this, node);
  const std::uint64_t size = content ? content->size() : Late::kMissing;
  if (const std::uint64_t said = late.say(size); said < Late::kMissing && said != size)
    return std::nullopt;
  return content;
}

std::uint64_t Tree::Late::say(std::uint64_t found) noexcept {
  std::uint64_t said = size;
  while (said >= kMissing) {
    if (size.compare_exchange_weak(said, found)) return found;
  }
  return said;
}

const Model* Tree::model(const Node& node) const noexcept {
  return node.model == Node::kNone ? nullptr : &catalog_of(node).models()[node.model];
}

}  // namespace ollamafs
