#include <string>
#include <string_view>
#include <vector>

#include "fs/views/views.h"

namespace ollamafs {
namespace {

void add_manifest(TreeBuilder& tree, TreeBuilder::NodeIndex manifests, std::uint32_t index) {
  const Model& model = tree.catalog().models()[index];
  const std::string path = model.name.v1_path();
  std::string_view name = path;
  const auto parent = tree.groups_of(manifests, name);
  tree.model_text(parent, name, index, manifest_text,
                  inode_identity({"layouts/ollama", path, model.manifest->digest.hex()}));
}

}  // namespace

void add_ollama_layout(TreeBuilder& tree, TreeBuilder::NodeIndex folder) {
  const Catalog& catalog = tree.catalog();
  const auto blobs = tree.group(folder, "blobs");
  const auto manifests = tree.group(folder, "manifests");
  // A server that knows the newer tree makes it where it is not, and here it cannot.
  tree.text(tree.group(folder, "manifests-v2"), ".keep", "");
  std::vector<bool> is_needed(catalog.blobs().size());
  for (std::uint32_t i = 0; i < catalog.models().size(); ++i) {
    if (!catalog.models()[i].whole()) continue;
    add_manifest(tree, manifests, i);
    for (const std::uint32_t blob : catalog.models()[i].blobs) is_needed[blob] = true;
  }
  for (std::uint32_t i = 0; i < is_needed.size(); ++i) {
    if (is_needed[i]) tree.blob(blobs, catalog.blobs()[i].digest.blob_name(), i);
  }
}

}  // namespace ollamafs
