#include "fs/gone_directories.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ollamafs {
namespace {

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
  if (hold_.count() == 0) return;
  const auto now = Clock::now();
  std::unordered_map<InodeNumber, Gone> more;
  const auto went = models_that_went(before.catalog(), after.catalog());
  if (std::ranges::find(went, true) != went.end()) {
    for (std::uint32_t i = 0; i < before.node_count(); ++i) {
      const Node& node = before.node(i);
      if (node.is_directory() && node.model != Node::kNone && went[node.model])
        more.try_emplace(node.ino, before.model(node)->view_name, now);
    }
  }
  const std::scoped_lock lock{mutex_};
  std::erase_if(gone_, [&](const auto& entry) { return now - entry.second.since >= hold_; });
  more.merge(gone_);
  gone_ = std::move(more);
}

std::optional<std::string> GoneDirectories::model_of(InodeNumber directory) const {
  const std::scoped_lock lock{mutex_};
  const auto it = gone_.find(directory);
  if (it == gone_.end()) return std::nullopt;
  return it->second.view_name;
}

}  // namespace ollamafs
