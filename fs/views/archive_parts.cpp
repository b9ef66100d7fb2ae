#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "fs/views/views.h"
#include "store/layout/archive.h"

namespace ollamafs {
namespace {

// Of an archive of more parts there are none: what a manifest claims may be any size, and each part
// takes memory.
constexpr std::uint64_t kMostParts = 10'000;

Layout layout_of_part(const Tree& tree, const Node& node) {
  return slice(archive_layout(*tree.model(node)), node.source * tree.split(), node.size);
}

// Of one width, so that the parts are in order wherever names are sorted.
std::string part_name(std::string_view archive, std::uint64_t number, std::uint64_t count) {
  return fmt::format("{}.{:0{}}", archive, number, count > 1000 ? 4 : 3);
}

}  // namespace

// The directory is a group, as it is shown of what the store has, like the archive, while a model's
// directories are of what is shown. What cannot be had of a broken model are the parts themselves:
// all of them are listed, as the archive is, so that no mirror job deletes its copies.
void add_archive_parts(TreeBuilder& tree, TreeBuilder::NodeIndex parent, std::string_view name,
                       std::uint32_t model, const std::string& archive) {
  const std::uint64_t total = archive_size(tree.stored().models()[model]);
  const std::uint64_t split = tree.options().split;
  const std::uint64_t count = total / split + (total % split == 0 ? 0 : 1);
  if (total < split || count > kMostParts) return;
  const auto directory = tree.group(parent, std::string{name} + ".parts");
  for (std::uint64_t number = 0; number < count; ++number) {
    const std::uint64_t size = std::min(split, total - number * split);
    tree.model_file(
        directory, part_name(name, number, count), model,
        {NodeKind::archive, size, layout_of_part, static_cast<std::uint32_t>(number)},
        inode_identity({"part", std::to_string(split), std::to_string(number)}, archive));
  }
}

}  // namespace ollamafs
