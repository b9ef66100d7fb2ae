#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fs/views/views.h"
#include "store/layout/oci_manifest.h"

namespace ollamafs {
namespace {

ModelPack pack_of(const Model& model) {
  return model_pack(model, names_in_contents(*model.manifest));
}

std::string layout_version(const Tree&, const Node&) {
  return oci_layout_version();
}

std::string index_text(const Tree& tree, const Node& node) {
  const Model& model = *tree.model(node);
  return oci_index(model, pack_of(model));
}

std::string pack_manifest(const Tree& tree, const Node& node) {
  return pack_of(*tree.model(node)).manifest;
}

std::string pack_config_text(const Tree& tree, const Node& node) {
  return pack_of(*tree.model(node)).config;
}

// The nodes of the layout of one model.
class OciLayout {
 public:
  OciLayout(TreeBuilder& tree, std::uint32_t index)
      : tree_{tree},
        index_{index},
        model_{tree.catalog().models()[index]},
        identity_{
            inode_identity({"layouts/oci", model_.view_name, model_.manifest->digest.hex()})} {}

  void add(TreeBuilder::NodeIndex folder) {
    std::string_view name = model_.view_name;
    const auto parent = tree_.groups_of(folder, name);
    const auto top = tree_.model_directory(parent, name, index_, identity(""));
    add_text(top, "oci-layout", layout_version);
    add_text(top, "index.json", index_text);
    const auto blobs = tree_.model_directory(top, "blobs", index_, identity("blobs"));
    add_blobs(tree_.model_directory(blobs, "sha256", index_, identity("blobs/sha256")));
  }

 private:
  [[nodiscard]] std::string identity(std::string_view below) const {
    return inode_identity({below}, identity_);
  }

  void add_text(TreeBuilder::NodeIndex parent, std::string_view name, TextRecipe recipe) {
    tree_.model_text(parent, name, index_, recipe, identity(name));
  }

  // No two have one digest: each manifest, and the config, has those of all blobs in it.
  void add_blobs(TreeBuilder::NodeIndex folder) {
    for (const std::uint32_t blob : model_.blobs) {
      tree_.blob(folder, tree_.catalog().blobs()[blob].digest.hex(), blob);
    }
    add_text(folder, model_.manifest->digest.hex(), manifest_text);
    const auto [manifest, config] = pack_names(folder);
    add_text(folder, manifest, pack_manifest);
    add_text(folder, config, pack_config_text);
  }

  // The digests of both texts of the ModelPack, in hex. The texts take longer to make than the rest
  // of the layout, so the last tree is asked first.
  struct PackNames {
    std::string manifest;
    std::string config;
  };

  [[nodiscard]] PackNames pack_names(TreeBuilder::NodeIndex folder) const {
    if (auto names = names_before(folder)) return *std::move(names);
    const ModelPack pack = pack_of(model_);
    return {Digest::of(pack.manifest).hex(), Digest::of(pack.config).hex()};
  }

  // The nodes of add_blobs' texts stand in its order.
  [[nodiscard]] std::optional<PackNames> names_before(TreeBuilder::NodeIndex folder) const {
    const Node* const before = tree_.before(folder);
    if (!before) return std::nullopt;
    const Tree& tree = *tree_.previous();
    std::vector<Dentry> texts;
    std::ranges::copy_if(
        tree.entries(*before), std::back_inserter(texts),
        [&](const Dentry& entry) { return tree.node(entry.node).kind == NodeKind::late; });
    if (texts.size() != 3) return std::nullopt;
    std::ranges::sort(texts, {}, &Dentry::node);
    return PackNames{std::string{texts[1].name}, std::string{texts[2].name}};
  }

  TreeBuilder& tree_;
  std::uint32_t index_;
  const Model& model_;
  std::string identity_;  // what those of all its nodes begin with
};

}  // namespace

void add_oci_layout(TreeBuilder& tree, TreeBuilder::NodeIndex folder) {
  for (std::uint32_t i = 0; i < tree.catalog().models().size(); ++i) {
    if (tree.catalog().models()[i].whole()) OciLayout{tree, i}.add(folder);
  }
}

}  // namespace ollamafs
