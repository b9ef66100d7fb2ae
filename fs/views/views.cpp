#include "fs/views/views.h"

#include <utility>

namespace ollamafs {

std::shared_ptr<const Tree> build_tree(const std::shared_ptr<const Catalog>& catalog,
                                       const TreeOptions& options, const MountFacts& facts,
                                       const Tree* previous) {
  return build_tree(catalog, catalog, options, facts, previous);
}

std::shared_ptr<const Tree> build_tree(std::shared_ptr<const Catalog> catalog,
                                       std::shared_ptr<const Catalog> stored,
                                       const TreeOptions& options, const MountFacts& facts,
                                       const Tree* previous) {
  TreeBuilder tree{std::move(catalog), std::move(stored), options};
  add_readme(tree, facts);
  add_models_view(tree);
  add_archives_view(tree);
  return std::move(tree).finish(previous);
}

}  // namespace ollamafs
