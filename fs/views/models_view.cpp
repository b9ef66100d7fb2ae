#include <string>
#include <string_view>
#include <utility>

#include "fs/views/views.h"

namespace ollamafs {
namespace {

Layout manifest_layout(const Tree& tree, const Node& node) {
  Layout::Builder builder;
  builder.generated(tree.model(node)->manifest->bytes);
  return std::move(builder).finish();
}

// The nodes of one model directory.
class ModelDirectory {
 public:
  ModelDirectory(TreeBuilder& tree, std::uint32_t index)
      : tree_{tree},
        index_{index},
        model_{tree.catalog().models()[index]},
        identity_{inode_identity({"models", model_.view_name, model_.manifest->digest.hex()})} {}

  void add(TreeBuilder::NodeIndex models) {
    std::string_view name = model_.view_name;
    const auto parent = tree_.groups_of(models, name);
    const auto top = tree_.model_directory(parent, name, index_, identity(""));
    add_blobs(top);
    add_manifest(top);
  }

 private:
  [[nodiscard]] std::string identity(std::string_view below) const {
    return inode_identity({below}, identity_);
  }

  // A broken model cannot be listed: it shows no blob, and none of them counts a link for it.
  void add_blobs(TreeBuilder::NodeIndex top) {
    const auto blobs = tree_.model_directory(top, "blobs", index_, identity("blobs"));
    if (!model_.whole()) return;
    for (const std::uint32_t index : model_.blobs) {
      tree_.blob(blobs, tree_.catalog().blobs()[index].digest.blob_name(), index);
    }
  }

  // manifests/host/namespace/model/tag, with an inode number above that of blobs/.
  void add_manifest(TreeBuilder::NodeIndex top) {
    std::string path = "manifests";
    auto directory = tree_.model_directory(top, path, index_, identity(path), true);
    for (const std::string& part :
         {model_.name.host(), model_.name.name_space(), model_.name.model()}) {
      path += "/" + part;
      directory = tree_.model_directory(directory, part, index_, identity(path));
    }
    path += "/" + model_.name.tag();
    tree_.model_file(directory, model_.name.tag(), index_,
                     {NodeKind::manifest, model_.manifest->bytes.size(), manifest_layout},
                     identity(path));
  }

  TreeBuilder& tree_;
  std::uint32_t index_;
  const Model& model_;
  std::string identity_;  // what those of all its nodes begin with
};

}  // namespace

void add_models_view(TreeBuilder& tree) {
  const auto models = tree.group(TreeBuilder::kRoot, "models");
  for (std::uint32_t i = 0; i < tree.catalog().models().size(); ++i) {
    ModelDirectory{tree, i}.add(models);
  }
}

}  // namespace ollamafs
