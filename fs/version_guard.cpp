#include "fs/version_guard.h"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <utility>

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
  if (hold_.count() == 0) return;
  const std::scoped_lock lock{mutex_};
  forget_old();
  Changes changes = changes_;
  const auto now = since_boot();
  const auto at_work = at_work_.all();
  const auto change_of = [&](const Model& model) -> Change& {
    Change& change = changes[model.view_name];
    change.at = change.last = now;
    change.before.insert(at_work.begin(), at_work.end());
    change.blobs = blobs_of(model);
    return change;
  };
  const auto came = [&](const Model& model, const std::set<Digest>& was) {
    Change& change = change_of(model);
    change.added.merge(without(change.blobs, was));
    change.added = without(change.added, without(change.added, change.blobs));
    change.dropped.merge(without(was, change.blobs));
    change.dropped = without(change.dropped, change.blobs);
  };
  auto old = before.models().begin();
  const auto old_end = before.models().end();
  for (const Model& model : after.models()) {
    for (; old != old_end && old->view_name < model.view_name; ++old) change_of(*old);
    if (old != old_end && old->view_name == model.view_name) {
      if (old->manifest->digest != model.manifest->digest) came(model, blobs_of(*old));
      ++old;
    } else if (const auto it = changes.find(model.view_name); it != changes.end()) {
      came(model, std::set<Digest>{it->second.blobs});  // it went a moment ago
    }
  }
  for (; old != old_end; ++old) change_of(*old);
  changes_ = std::move(changes);
  any_ = !changes_.empty();
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
    change.last = since_boot();
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
  const bool goes_by_this =
      !progress->second.missed && std::ranges::includes(progress->second.opened, it->second.added);
  return !goes_by_this && !began_after(tool, it->second.at);
}

void VersionGuard::forget_old() {
  const auto now = since_boot();
  std::erase_if(changes_, [&](const auto& entry) { return is_over(entry.second, now); });
  any_ = !changes_.empty();
}

bool VersionGuard::is_over(const Change& change, SinceBoot now) const {
  const auto is_at_work = [&](pid_t tool) { return at_work_.has(tool); };
  return now - change.last >= hold_ && std::ranges::none_of(change.before, is_at_work) &&
         std::ranges::none_of(change.tools | std::views::keys, is_at_work);
}

}  // namespace ollamafs
