#include <string>
#include <string_view>

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
    const ModelPack pack = pack_of(model_);
    add_text(folder, model_.manifest->digest.hex(), manifest_text);
    add_text(folder, Digest::of(pack.manifest).hex(), pack_manifest);
    add_text(folder, Digest::of(pack.config).hex(), pack_config_text);
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
