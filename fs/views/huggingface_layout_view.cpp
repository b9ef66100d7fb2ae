#include <string>

#include "fs/views/views.h"
#include "store/layout/repositories.h"

namespace ollamafs {
namespace {

// What stands for the commit: 40 hex digits that are others for other files. It is of the
// repository's name as well, so that no two have one.
std::string commit_of(const Catalog& catalog, const Repository& repository) {
  Hasher hasher;
  const auto add = [&](std::string_view part) { hasher.add(inode_identity({part})); };
  add(repository.owner);
  add(repository.name);
  for (const RepositoryFile& file : repository.files) {
    add(file.name);
    add(catalog.blobs()[file.blob].digest.hex());
  }
  return hasher.finish().hex().substr(0, 40);
}

void add_repository(TreeBuilder& tree, TreeBuilder::NodeIndex folder,
                    const Repository& repository) {
  const std::string commit = commit_of(tree.catalog(), repository);
  const auto top = tree.group(folder, "models--" + repository.owner + "--" + repository.name);
  tree.text(tree.group(top, "refs"), "main", commit);
  const auto snapshot = tree.group(tree.group(top, "snapshots"), commit);
  for (const RepositoryFile& file : repository.files) tree.blob(snapshot, file.name, file.blob);
}

}  // namespace

void add_huggingface_layout(TreeBuilder& tree, TreeBuilder::NodeIndex folder) {
  for (const Repository& repository : repositories(tree.catalog())) {
    add_repository(tree, folder, repository);
  }
}

}  // namespace ollamafs
