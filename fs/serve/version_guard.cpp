#include "fs/serve/version_guard.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace ollamafs {
namespace {

std::set<Digest> blobs_of(const Model& model) {
  std::set<Digest> blobs;
  for (const BlobRef& blob : model.manifest->blobs) blobs.insert(blob.digest);
  return blobs;
}

// Names of models, of those who make and remove them all the time.
constexpr std::size_t kMostGone = 100'000;

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
  std::vector<const std::string*> returned;
  const auto at = since_boot();
  const auto now = Clock::now();
  const auto at_work = at_work_.all();
  const auto change_of = [&](const Model& model) -> Change& {
    Change& change = changes[model.view_name];
    change.at = at;
    change.shown = change.last = now;
    change.before.insert(at_work.begin(), at_work.end());
    change.blobs = blobs_of(model);
    return change;
  };
  const auto went = [&](const Model& model) {
    Change& change = change_of(model);
    gone_.insert(model.view_name);  // too early does no harm, if the rest fails
    for (auto& [tool, progress] : change.tools) progress.has_begun = false;
  };
  const auto came = [&](const Model& model, const std::set<Digest>& was) {
    Change& change = change_of(model);
    const bool returns = gone_.contains(model.view_name);
    change.has_returned |= returns;
    if (returns) returned.push_back(&model.view_name);
    change.added.merge(returns ? std::set<Digest>{change.blobs} : without(change.blobs, was));
    change.added = without(change.added, without(change.added, change.blobs));
    change.dropped.merge(without(was, change.blobs));
    change.dropped = without(change.dropped, change.blobs);
  };
  auto old = before.models().begin();
  const auto old_end = before.models().end();
  for (const Model& model : after.models()) {
    for (; old != old_end && old->view_name < model.view_name; ++old) went(*old);
    if (old != old_end && old->view_name == model.view_name) {
      if (old->manifest->digest != model.manifest->digest) came(model, blobs_of(*old));
      ++old;
    } else if (gone_.contains(model.view_name)) {
      const auto it = changes.find(model.view_name);  // if it went a moment ago
      came(model, it == changes.end() ? std::set<Digest>{} : std::set<Digest>{it->second.blobs});
    }
  }
  for (; old != old_end; ++old) went(*old);
  changes_ = std::move(changes);
  for (const std::string* const name : returned) gone_.erase(*name);
  if (gone_.size() > kMostGone) gone_.clear();
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
    if (is_late(change) && !change.before.contains(tool) && !change.tools.contains(tool)) continue;
    Progress& progress = change.tools[tool];
    progress.has_opened = true;
    if (is_shown) progress.opened.insert(blob);
    change.last = Clock::now();
  }
}

// Later it concerns only those that have been at work all the time.
bool VersionGuard::is_late(const Change& change) const {
  return Clock::now() - change.shown >= hold_;
}

bool VersionGuard::missed(pid_t tool, const std::string& view_name, std::string_view name) {
  if (!any_) return false;
  const auto digest = Digest::parse(name);
  const std::scoped_lock lock{mutex_};
  const auto it = changes_.find(view_name);
  if (!digest || it == changes_.end() || !it->second.dropped.contains(*digest)) return false;
  return !std::exchange(it->second.tools[tool].missed, true);
}

bool VersionGuard::missed_directory(pid_t tool, const std::string& view_name) {
  const std::scoped_lock lock{mutex_};
  const auto it = changes_.find(view_name);
  if (it == changes_.end()) return false;
  it->second.last = Clock::now();
  return !std::exchange(it->second.tools[tool].missed, true);
}

void VersionGuard::begins(pid_t tool, const std::string& view_name) noexcept {
  const std::scoped_lock lock{mutex_};
  const auto it = changes_.find(view_name);
  if (it == changes_.end()) return;
  Change& change = it->second;
  change.tools.erase(tool);
  if (!change.has_returned) return;
  try {
    change.tools[tool].has_begun = true;
  } catch (const std::bad_alloc&) {  // it is refused, and may begin once more
  }
}

bool VersionGuard::refuses(pid_t tool, const std::string& view_name) {
  if (!any_) return false;
  const std::scoped_lock lock{mutex_};
  forget_old();
  const auto it = changes_.find(view_name);
  if (it == changes_.end()) return false;
  const Change& change = it->second;
  const auto it_tool = change.tools.find(tool);
  if (it_tool == change.tools.end() && is_late(change) && !change.before.contains(tool))
    return false;
  const Progress progress = it_tool == change.tools.end() ? Progress{} : it_tool->second;
  if (progress.missed) return true;
  if (!progress.has_opened && (!change.has_returned || progress.has_begun)) return false;
  if (std::ranges::includes(progress.opened, change.added)) return false;
  // The kernel, which is told after the change, may list the old version for a moment.
  constexpr std::chrono::seconds moment{1};
  return !began_after(tool, change.at + moment);
}

void VersionGuard::forget_old() {
  const auto now = Clock::now();
  const auto at_work = at_work_.all();
  for (auto& [name, change] : changes_) forget_resting(change, now, at_work);
  std::erase_if(changes_, [&](const auto& entry) {
    const Change& change = entry.second;
    return now - change.last >= hold_ && change.before.empty() && change.tools.empty();
  });
  any_ = !changes_.empty();
}

// Who has rested has come to its end, or begins anew; its number may be another's later.
void VersionGuard::forget_resting(Change& change, Clock::time_point now,
                                  const std::set<pid_t>& at_work) const {
  std::erase_if(change.before, [&](pid_t tool) { return !at_work.contains(tool); });
  if (now - change.last < hold_) return;
  std::erase_if(change.tools, [&](const auto& tool) { return !at_work.contains(tool.first); });
}

}  // namespace ollamafs
