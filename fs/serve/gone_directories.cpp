#include "fs/serve/gone_directories.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ollamafs {
namespace {

constexpr const char* kBlobs = "blobs";

// Then the older ones are forgotten.
constexpr std::size_t kMost = 20'000;

// Of each model of `before`, whether it is there no more in this version: such have all their
// directories' numbers to themselves.
std::vector<bool> models_that_went(const Catalog& before, const Catalog& after) {
  std::vector<bool> went;
  auto now = after.models().begin();
  const auto end = after.models().end();
  for (const Model& model : before.models()) {
    while (now != end && now->view_name < model.view_name) ++now;
    went.push_back(now == end || now->view_name != model.view_name ||
                   now->manifest->digest != model.manifest->digest);
  }
  return went;
}

}  // namespace

void GoneDirectories::changed(const Tree& before, const Tree& after) {
  std::unordered_map<InodeNumber, Gone> more;
  const auto went = models_that_went(before.catalog(), after.catalog());
  if (std::ranges::find(went, true) == went.end()) return;
  for (std::uint32_t i = 0; i < before.node_count(); ++i) {
    const Node& node = before.node(i);
    if (!before.is_model_directory(node) || !went[node.model]) continue;
    const std::string& view_name = before.model(node)->view_name;
    more.try_emplace(node.ino, view_name, false);
    if (const Node* const blobs = before.lookup(node, kBlobs))
      more.try_emplace(blobs->ino, view_name, true);
  }
  const std::scoped_lock lock{mutex_};
  if (more.size() + gone_.size() <= kMost) {
    more.reserve(more.size() + gone_.size());  // so that nothing fails in the midst
    more.merge(gone_);
  }
  gone_ = std::move(more);
}

std::optional<std::string> GoneDirectories::model_missed(InodeNumber directory,
                                                         std::string_view name) const {
  if (name == "." || name == "..") return std::nullopt;  // the kernel asks so for file handles
  const std::scoped_lock lock{mutex_};
  const auto it = gone_.find(directory);
  if (it == gone_.end()) return std::nullopt;
  const bool concerns_blobs = it->second.is_blobs || name.empty() || name == kBlobs;
  return concerns_blobs ? std::optional{it->second.view_name} : std::nullopt;
}

}  // namespace ollamafs
