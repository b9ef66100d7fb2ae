#include "fs/version_guard.h"

#include <algorithm>
#include <iterator>

namespace ollamafs {
namespace {

std::set<Digest> blobs_of(const Model& model) {
  std::set<Digest> blobs;
  for (const BlobRef& blob : model.manifest->blobs) blobs.insert(blob.digest);
  return blobs;
}

std::set<Digest> without(const std::set<Digest>& all, const std::set<Digest>& those) {
  std::set<Digest> rest;
  std::ranges::set_difference(all, those, std::inserter(rest, rest.end()));
  return rest;
}

}  // namespace

void VersionGuard::changed(const Catalog& before, const Catalog& after) {
  const std::scoped_lock lock{mutex_};
  forget_old();
  auto old = before.models().begin();
  const auto old_end = before.models().end();
  for (const Model& model : after.models()) {
    for (; old != old_end && old->view_name < model.view_name; ++old) went(*old);
    if (old != old_end && old->view_name == model.view_name) {
      if (old->manifest->digest != model.manifest->digest) came(model, blobs_of(*old));
      ++old;
    } else if (const auto it = changes_.find(model.view_name); it != changes_.end()) {
      came(model, std::set<Digest>{it->second.blobs});  // it went a moment ago
    }
  }
  for (; old != old_end; ++old) went(*old);
  any_ = !changes_.empty();
}

void VersionGuard::went(const Model& model) {
  Change& change = changes_[model.view_name];
  change.blobs = blobs_of(model);
  change.at = Clock::now();
}

void VersionGuard::came(const Model& model, const std::set<Digest>& was) {
  Change& change = changes_[model.view_name];
  change.blobs = blobs_of(model);
  change.at = Clock::now();
  change.added.merge(without(change.blobs, was));
  change.added = without(change.added, without(change.added, change.blobs));
  change.dropped.merge(without(was, change.blobs));
  change.dropped = without(change.dropped, change.blobs);
}

void VersionGuard::opened(pid_t tool, const Digest& blob) {
  if (!any_) return;
  const std::scoped_lock lock{mutex_};
  forget_old();
  for (auto& [name, change] : changes_) {
    const bool is_shown = change.blobs.contains(blob);
    // One that was dropped it found before the change, or in another model.
    if (!is_shown && !change.dropped.contains(blob)) continue;
    Progress& progress = change.tools[tool];
    if (is_shown) progress.opened.insert(blob);
    progress.open.insert(blob);
    change.at = Clock::now();
  }
}

void VersionGuard::closed(pid_t tool, const Digest& blob) noexcept {
  if (!any_) return;
  const std::scoped_lock lock{mutex_};
  for (auto& [name, change] : changes_) {
    const auto progress = change.tools.find(tool);
    if (progress == change.tools.end()) continue;
    const auto open = progress->second.open.find(blob);
    if (open == progress->second.open.end()) continue;
    progress->second.open.erase(open);
    change.at = Clock::now();
  }
}

void VersionGuard::missed(pid_t tool, const std::string& view_name, std::string_view name) {
  if (!any_) return;
  const auto digest = Digest::parse(name);
  const std::scoped_lock lock{mutex_};
  const auto it = changes_.find(view_name);
  if (digest && it != changes_.end() && it->second.dropped.contains(*digest))
    it->second.tools[tool].missed = true;
}

bool VersionGuard::refuses(pid_t tool, const std::string& view_name) {
  if (!any_) return false;
  const std::scoped_lock lock{mutex_};
  forget_old();
  const auto it = changes_.find(view_name);
  if (it == changes_.end()) return false;
  const auto progress = it->second.tools.find(tool);
  if (progress == it->second.tools.end()) return false;
  return progress->second.missed ||
         !std::ranges::includes(progress->second.opened, it->second.added);
}

void VersionGuard::forget_old() {
  const auto now = Clock::now();
  std::erase_if(changes_, [&](const auto& entry) {
    const Change& change = entry.second;
    return now - change.at >= hold_ && std::ranges::all_of(change.tools, [](const auto& tool) {
             return tool.second.open.empty();
           });
  });
  any_ = !changes_.empty();
}

}  // namespace ollamafs
