#include <string>
#include <string_view>

#include "fs/views/views.h"
#include "store/layout/archive.h"

namespace ollamafs {

namespace {

Layout layout_of_archive(const Tree& tree, const Node& node) {
  return archive_layout(*tree.model(node));
}

}  // namespace

void add_archives_view(TreeBuilder& tree) {
  const auto archives = tree.group(TreeBuilder::kRoot, "archives");
  const auto models = tree.stored().models();
  for (std::uint32_t i = 0; i < models.size(); ++i) {
    std::string_view name = models[i].view_name;
    const auto parent = tree.groups_of(archives, name);
    // The bytes depend on the manifest's path too, which the shown name may leave out.
    const std::string identity =
        inode_identity({"archives", models[i].view_name, models[i].manifest->digest.hex(),
                        models[i].name.v1_path()});
    const std::string file = std::string{name} + ".tar";
    tree.model_file(parent, file, i,
                    {NodeKind::archive, archive_size(models[i]), layout_of_archive}, identity);
    add_archive_parts(tree, parent, file, i, identity);
  }
}

}  // namespace ollamafs
