#include "fs/serve/node_attributes.h"

#include <algorithm>

namespace ollamafs {

struct stat listed_stat_of(const Node& node) noexcept {
  struct stat st {};
  st.st_ino = node.ino;
  st.st_mode = (node.is_directory() ? S_IFDIR : S_IFREG) | node.permissions;
  return st;
}

struct stat stat_of(const Tree& tree, const Node& node) {
  const std::uint64_t size = tree.size_of(node);
  struct stat st = listed_stat_of(node);
  st.st_nlink = node.nlink;
  st.st_uid = node.uid;
  st.st_gid = node.gid;
  st.st_size = static_cast<off_t>(size);
  st.st_blocks = static_cast<blkcnt_t>((size + 511) / 512);
  st.st_mtim.tv_sec = st.st_ctim.tv_sec = st.st_atim.tv_sec = node.mtime;
  st.st_ctim.tv_nsec = node.change;
  return st;
}

bool can_list_attributes(const NodeRef& node) noexcept {
  return !node->is_directory() || node->model != Node::kNone;
}

std::vector<std::string> attribute_names(const NodeRef& node) {
  if (node->kind == NodeKind::blob) return {"user.ollamafs.digest"};
  if (node->model == Node::kNone) return {};
  if (node->is_directory() && !node.tree->is_model_directory(*node)) return {};
  return {"user.ollamafs.digest", "user.ollamafs.id", "user.ollamafs.media_type",
          "user.ollamafs.name", "user.ollamafs.state"};
}

std::optional<std::string> attribute(const NodeRef& node, std::string_view name,
                                     const Health& health) {
  const auto names = attribute_names(node);
  if (std::ranges::find(names, name) == names.end()) return std::nullopt;
  if (node->kind == NodeKind::blob)
    return node.tree->catalog().blobs()[node->source].digest.to_string();
  const Model& model = *node.tree->model(*node);
  if (name.ends_with(".digest")) return model.manifest->digest.to_string();
  if (name.ends_with(".id")) return model.manifest->digest.id();
  if (name.ends_with(".media_type")) return model.manifest->media_type;
  if (name.ends_with(".name")) return model.shown;
  const auto fault = health.fault_of(model);
  return fault ? "broken: " + *fault : "whole";
}

}  // namespace ollamafs
