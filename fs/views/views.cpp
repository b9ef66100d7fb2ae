#include "fs/views/views.h"

#include <utility>

namespace ollamafs {
namespace {

using AddView = void (*)(TreeBuilder& tree, TreeBuilder::NodeIndex directory);

// A view that is empty until somebody has looked into it.
void add_sleeping(TreeBuilder& tree, TreeBuilder::NodeIndex parent, std::string_view name,
                  View view, AddView add) {
  if (!tree.options().shown.has(view)) return;
  if (tree.options().awake.has(view)) {
    add(tree, tree.view_group(parent, name));
  } else {
    tree.sleeping_group(parent, name, view);
  }
}

struct LayoutView {
  const char* name;
  View view;
  AddView add;
};
constexpr LayoutView kLayouts[] = {
    {"ollama", View::ollama, add_ollama_layout},
    {"huggingface", View::huggingface, add_huggingface_layout},
    {"lmstudio", View::lmstudio, add_lmstudio_layout},
    {"oci", View::oci, add_oci_layout},
};

void add_layouts(TreeBuilder& tree) {
  for (const auto& [name, view, add] : kLayouts) {
    if (!tree.options().shown.has(view)) continue;
    add_sleeping(tree, tree.group(TreeBuilder::kRoot, "layouts"), name, view, add);
  }
}

}  // namespace

std::string manifest_text(const Tree& tree, const Node& node) {
  return tree.model(node)->manifest->bytes;
}

std::shared_ptr<const Tree> build_tree(const std::shared_ptr<const Catalog>& catalog,
                                       const TreeOptions& options, const MountFacts& facts,
                                       const Tree* previous) {
  return build_tree(catalog, catalog, options, facts, previous);
}

std::shared_ptr<const Tree> build_tree(std::shared_ptr<const Catalog> catalog,
                                       std::shared_ptr<const Catalog> stored,
                                       const TreeOptions& options, const MountFacts& facts,
                                       const Tree* previous) {
  TreeBuilder tree{std::move(catalog), std::move(stored), options, previous};
  add_readme(tree, facts);
  add_index(tree, facts);
  if (options.shown.has(View::models)) add_models_view(tree);
  if (options.shown.has(View::archives)) add_archives_view(tree);
  add_sleeping(tree, TreeBuilder::kRoot, "contents", View::contents, add_contents_view);
  add_layouts(tree);
  return std::move(tree).finish();
}

}  // namespace ollamafs
