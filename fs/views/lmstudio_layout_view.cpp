#include "fs/views/views.h"
#include "store/layout/repositories.h"

namespace ollamafs {

void add_lmstudio_layout(TreeBuilder& tree, TreeBuilder::NodeIndex folder) {
  for (const Repository& repository : repositories(tree.catalog())) {
    const auto publisher = tree.group(folder, repository.owner);
    const auto model = tree.group(publisher, repository.name);
    for (const RepositoryFile& file : repository.files) tree.blob(model, file.name, file.blob);
  }
}

}  // namespace ollamafs
