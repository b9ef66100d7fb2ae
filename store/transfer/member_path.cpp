#include "store/transfer/member_path.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace ollamafs {
namespace {

// The last `Count` components, the last first; as many as there are.
template <std::size_t Count>
std::array<std::string_view, Count> last_components(std::string_view path) {
  std::array<std::string_view, Count> parts{};
  for (std::string_view& part : parts) {
    const std::size_t slash = path.rfind('/');
    part = path.substr(slash == path.npos ? 0 : slash + 1);
    if (slash == path.npos) break;
    path = path.substr(0, slash);
  }
  return parts;
}

std::optional<ModelName> tag_name(TreeKind tree, std::string_view host, std::string_view name_space,
                                  std::string_view model, std::string_view tag) {
  if (tree == TreeKind::v2) return ModelName::from_v2_parts(host, name_space, model, tag);
  if (host.find('%') == host.npos) return ModelName::from_parts(host, name_space, model, tag);
  return ModelName::from_v2_parts(host, name_space, model, tag);
}

}  // namespace

MemberPath read_member_path(std::string_view path) {
  const auto [tag, model, name_space, host, top] = last_components<5>(path);
  for (const TreeKind tree : {TreeKind::v1, TreeKind::v2}) {
    if (top != tree_folder(tree)) continue;
    if (auto name = tag_name(tree, host, name_space, model, tag)) return {{}, name, tree};
  }
  if (model == "blobs") return {Digest::parse(tag), {}};
  return {};
}

bool leads_out(std::string_view path) noexcept {
  if (path.starts_with('/')) return true;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (path.substr(0, slash) == "..") return true;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return false;
}

std::optional<Digest> manifest_behind(std::string_view link_target) noexcept {
  constexpr std::string_view way = "../../../../blobs/";
  if (!link_target.starts_with(way)) return std::nullopt;
  return Digest::parse(link_target.substr(way.size()));
}

bool is_shadow_tag(const ModelName& name) {
  return name.is_public() && name.name_space() == ModelName::kDefaultNamespace &&
         name.model() == "llamacpp" && Digest::parse_hex(name.tag());
}

}  // namespace ollamafs
