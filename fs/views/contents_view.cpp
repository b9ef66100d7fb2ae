#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "fs/views/views.h"
#include "store/describe/model_parts.h"
#include "store/describe/modelfile.h"
#include "store/layout/tensors_file.h"

namespace ollamafs {
namespace {

constexpr const char* kModelfile = "Modelfile";
constexpr const char* kManifestName = "manifest.json";
constexpr const char* kSums = "SHA256SUMS";
constexpr const char* kTensors = "model.safetensors";

// The files of a model that are blobs: each name once, with what it leads to.
std::map<std::string, Digest> blob_files(const StoredManifest& manifest) {
  std::map<std::string, Digest> files;
  const FileNames names = names_in_contents(manifest);
  for (std::size_t i = 0; i < names.layers.size(); ++i) {
    if (manifest.layers[i].digest) files.emplace(names.layers[i], *manifest.layers[i].digest);
  }
  if (manifest.config) files.emplace(names.config, *manifest.config);
  return files;
}

// What `sha256sum -c` takes: no blob is read for it, they are named by their digests.
std::string sums_text(const Tree& tree, const Node& node) {
  std::string text;
  for (const auto& [name, digest] : blob_files(*tree.model(node)->manifest)) {
    text += digest.hex() + "  " + name + "\n";
  }
  return text;
}

// With the files beside it, so that `ollama create` works in the directory.
std::string modelfile_text(const Tree& tree, const Node& node) {
  const Model& model = *tree.model(node);
  const FileNames names = names_in_contents(*model.manifest);
  return modelfile(
      model, read_model_parts(*tree.store(), model),
      [&](const StoredLayer&, std::size_t index) { return "./" + names.layers[index]; });
}

bool has_tensors(const StoredManifest& manifest) {
  return std::ranges::find(manifest.layers, LayerKind::tensor, &StoredLayer::kind) !=
         manifest.layers.end();
}

std::optional<Layout> tensors_of(const Tree& tree, const Node& node) try {
  return tensors_file(*tree.store(), *tree.model(node));
} catch (const TensorsError&) {
  return std::nullopt;
}

// The nodes of one directory of contents/.
class ContentsDirectory {
 public:
  ContentsDirectory(TreeBuilder& tree, std::uint32_t index)
      : tree_{tree},
        index_{index},
        model_{tree.catalog().models()[index]},
        identity_{inode_identity({"contents", model_.view_name, model_.manifest->digest.hex()})} {}

  void add(TreeBuilder::NodeIndex contents) {
    std::string_view name = model_.view_name;
    const auto parent = tree_.groups_of(contents, name);
    top_ = tree_.model_directory(parent, name, index_, identity(""));
    if (!model_.whole()) return;  // it lists BROKEN alone
    for (const auto& [path, digest] : blob_files(*model_.manifest)) add_blob(path, digest);
    add_text(kManifestName, manifest_text);
    add_text(kSums, sums_text);
    if (!tree_.options().store) return;
    add_text(kModelfile, modelfile_text);
    if (has_tensors(*model_.manifest))
      tree_.late_model_file(top_, kTensors, index_, tensors_of, identity(kTensors));
  }

 private:
  [[nodiscard]] std::string identity(std::string_view below) const {
    return inode_identity({below}, identity_);
  }

  void add_text(const char* name, TextRecipe recipe) {
    tree_.model_text(top_, name, index_, recipe, identity(name));
  }

  void add_blob(const std::string& path, const Digest& digest) {
    const auto slash = path.find('/');
    auto parent = top_;
    if (slash != std::string::npos) parent = folder(path.substr(0, slash));
    tree_.blob(parent, std::string_view{path}.substr(slash + 1),
               *tree_.catalog().blob_index(digest));
  }

  TreeBuilder::NodeIndex folder(const std::string& name) {
    const auto [it, is_new] = folders_.try_emplace(name);
    if (is_new) it->second = tree_.model_directory(top_, name, index_, identity(name));
    return it->second;
  }

  TreeBuilder& tree_;
  std::uint32_t index_;
  const Model& model_;
  std::string identity_;  // what those of all its nodes begin with
  TreeBuilder::NodeIndex top_ = 0;
  std::map<std::string, TreeBuilder::NodeIndex> folders_;
};

}  // namespace

FileNames names_in_contents(const StoredManifest& manifest) {
  return file_names(manifest, {kModelfile, kManifestName, kSums, kTensors});
}

void add_contents_view(TreeBuilder& tree, TreeBuilder::NodeIndex contents) {
  for (std::uint32_t i = 0; i < tree.catalog().models().size(); ++i) {
    ContentsDirectory{tree, i}.add(contents);
  }
}

}  // namespace ollamafs
