#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "fs/tree/tree_builder.h"
#include "store/describe/model_summaries.h"
#include "store/layout/file_names.h"

namespace ollamafs {

// The views: each adds one directory, with all that is below. A new view is a new file, a name in
// kViewNames and a line in build_tree. Those that are given their directory sleep: it is empty
// until somebody looks into it (WantedViews).

// models/: every model as the smallest complete models folder (docs/view.md §1).
void add_models_view(TreeBuilder& tree);

// archives/: every model as a tar (docs/view.md §3).
void add_archives_view(TreeBuilder& tree);

// archives/NAME.tar.parts/: the same tar in pieces, if it has at least the split size. `archive` is
// the identity of its node, `parent` the directory that it is in.
void add_archive_parts(TreeBuilder& tree, TreeBuilder::NodeIndex parent, std::string_view name,
                       std::uint32_t model, const std::string& archive);

// What a mount says about itself in README.txt.
struct MountFacts {
  std::filesystem::path mountpoint;  // absolute
  std::filesystem::path store;       // absolute
  bool by_sudo = false;              // only root can end it, its user has to ask sudo

  // What index.html says of models beside what the catalog has; null: nothing. Outlives every tree.
  ModelSummaries* summaries = nullptr;
};

// contents/: every model as its files, by names that tell what they are (docs/view.md §9).
void add_contents_view(TreeBuilder& tree, TreeBuilder::NodeIndex contents);

// The names that it gives the files of a model.
[[nodiscard]] FileNames names_in_contents(const StoredManifest& manifest);

// A recipe (TextRecipe): the bytes of the manifest of the model that the node belongs to.
[[nodiscard]] std::string manifest_text(const Tree& tree, const Node& node);

// layouts/ollama/: all whole models as one models folder (docs/view.md §10).
void add_ollama_layout(TreeBuilder& tree, TreeBuilder::NodeIndex folder);

// layouts/huggingface/: the GGUF models as a hub cache, models--OWNER--NAME/{refs/main,snapshots/}
// (repositories()).
void add_huggingface_layout(TreeBuilder& tree, TreeBuilder::NodeIndex folder);

// layouts/lmstudio/: the same as OWNER/NAME/FILE.gguf, which are exactly two levels.
void add_lmstudio_layout(TreeBuilder& tree, TreeBuilder::NodeIndex folder);

// layouts/oci/: every whole model as an OCI image layout, under the name that it has in models/
// (store/layout/oci_manifest.h).
void add_oci_layout(TreeBuilder& tree, TreeBuilder::NodeIndex folder);

// index.html: all models on one page, for a browser. Always there, as README.txt is.
void add_index(TreeBuilder& tree, const MountFacts& facts);

// README.txt: what this is, with the real paths of this mount and commands that work in it.
void add_readme(TreeBuilder& tree, const MountFacts& facts);

// The whole tree of what is shown and what the store has (see Tree); `previous` is the one that it
// follows on, if there is one.
[[nodiscard]] std::shared_ptr<const Tree> build_tree(std::shared_ptr<const Catalog> catalog,
                                                     std::shared_ptr<const Catalog> stored,
                                                     const TreeOptions& options,
                                                     const MountFacts& facts,
                                                     const Tree* previous = nullptr);

// Of a catalog of which nothing is in use.
[[nodiscard]] std::shared_ptr<const Tree> build_tree(const std::shared_ptr<const Catalog>& catalog,
                                                     const TreeOptions& options,
                                                     const MountFacts& facts,
                                                     const Tree* previous = nullptr);

}  // namespace ollamafs
