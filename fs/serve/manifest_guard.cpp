#include "fs/serve/manifest_guard.h"

#include <algorithm>
#include <new>
#include <utility>

namespace ollamafs {
namespace {

// Names of models that went, where models are made and removed all the time. Beyond that the names
// are forgotten, and every model that comes counts as one that came back.
constexpr std::size_t kMostGone = 100'000;

// A client of the kernel's NFS server that missed something may be another than the one that asks,
// and its own memory may list the model for it. So for these a miss counts for this long only.
constexpr std::chrono::minutes kManyMissFor{1};

// A moment that has yet to come.
constexpr SinceBoot kNotYet = SinceBoot::max();

// Of a model that is another in `after`, or is there no more, or was not there before. Calls
// went(model of before) and came(model of after); both for one whose manifest changed.
template <class Went, class Came>
void for_each_difference(const Catalog& before, const Catalog& after, Went&& went, Came&& came) {
  auto old = before.models().begin();
  const auto old_end = before.models().end();
  std::uint32_t index = 0;
  for (const Model& model : after.models()) {
    for (; old != old_end && old->view_name < model.view_name; ++old) went(*old);
    const bool was_there = old != old_end && old->view_name == model.view_name;
    if (!was_there || old->manifest->digest != model.manifest->digest) {
      if (was_there) went(*old);
      came(index, model);
    }
    if (was_there) ++old;
    ++index;
  }
  for (; old != old_end; ++old) went(*old);
}

}  // namespace

// An entry too many does no harm.
ManifestGuard::Change ManifestGuard::prepare(const Catalog& before, const Catalog& after) {
  const std::scoped_lock lock{mutex_};
  Change change{before, after, changes_ + 1, {}};
  for_each_difference(
      before, after, [&](const Model& model) { models_.try_emplace(model.view_name); },
      [&](std::uint32_t index, const Model& model) {
        if (guards_all_that_come_) models_.try_emplace(model.view_name);
        if (models_.contains(model.view_name)) change.models.push_back(index);
      });
  return change;
}

void ManifestGuard::commit(const Change& change) noexcept {
  const std::scoped_lock lock{mutex_};
  const SinceBoot now = since_boot();
  for_each_difference(
      change.before, change.after,
      [&](const Model& model) {
        Guarded& entry = models_.find(model.view_name)->second;
        if (!std::exchange(entry.is_gone, true)) ++gone_;
        entry.missed.clear();
        entry.listed.clear();
      },
      [&](std::uint32_t, const Model& model) {
        const auto it = models_.find(model.view_name);
        if (it == models_.end()) return;
        Guarded& entry = it->second;
        if (std::exchange(entry.is_gone, false)) --gone_;
        entry.version = model.manifest->digest;
        entry.changed = now;
        entry.told = kNotYet;
        entry.change = change.number;
      });
  changes_ = change.number;
  forget_gone_if_many();
  any_ = !models_.empty() || all_missed_ != kNever;
}

void ManifestGuard::forget_gone_if_many() {
  if (gone_ <= kMostGone) return;
  std::erase_if(models_, [](const auto& entry) { return entry.second.is_gone; });
  gone_ = 0;
  guards_all_that_come_ = true;
}

void ManifestGuard::kernel_was_told(std::uint64_t number) noexcept {
  const std::scoped_lock lock{mutex_};
  const SinceBoot now = since_boot();
  for (auto& [name, entry] : models_) {
    if (entry.told == kNotYet && entry.change <= number) entry.told = now;
  }
}

bool ManifestGuard::missed(pid_t process, std::span<const std::string* const> models) noexcept {
  const std::scoped_lock lock{mutex_};
  any_ = true;
  bool is_news = false;
  try {
    for (const std::string* const model : models) {
      Guarded& entry = models_[*model];
      is_news |= entry.missed.of(process) <= entry.listed.of(process);
      entry.missed.note(process);
    }
  } catch (const std::bad_alloc&) {
    all_missed_ = since_boot();
    return true;
  }
  return is_news;
}

void ManifestGuard::missed_something() noexcept {
  const std::scoped_lock lock{mutex_};
  any_ = true;
  all_missed_ = since_boot();
}

void ManifestGuard::listed(pid_t process, const Model& model) noexcept {
  if (!any_) return;
  const std::scoped_lock lock{mutex_};
  try {
    auto it = models_.find(model.view_name);
    if (it == models_.end()) {
      if (all_missed_ == kNever) return;
      it = models_.try_emplace(model.view_name).first;
    }
    Guarded& entry = it->second;
    // It may be the listing of the old version, asked for a moment before the change.
    if (entry.is_gone || (entry.changed != kNever && entry.version != model.manifest->digest))
      return;
    entry.listed.note(process);
    entry.missed.erase(process);
  } catch (const std::bad_alloc&) {
  }
}

bool ManifestGuard::watches(const Model& model) const noexcept {
  if (!any_) return false;
  const std::scoped_lock lock{mutex_};
  return all_missed_ != kNever || models_.contains(model.view_name);
}

bool ManifestGuard::refuses(pid_t process, const Model& model) const noexcept {
  if (!any_) return false;
  const std::scoped_lock lock{mutex_};
  const auto it = models_.find(model.view_name);
  if (it == models_.end()) return must_list(process, kNever, all_missed_, all_missed_);
  const Guarded& entry = it->second;
  const SinceBoot listed = entry.listed.of(process);
  SinceBoot missed = entry.missed.of(process);
  if (stands_for_many(process) && since_boot() - missed > kManyMissFor) missed = kNever;
  return must_list(process, listed, all_missed_, all_missed_) ||
         must_list(process, listed, missed, missed) ||
         must_list(process, listed, entry.changed, entry.told);
}

// Of something that happened at `since` and can concern only processes that were there at `told`.
bool ManifestGuard::must_list(pid_t process, SinceBoot listed, SinceBoot since,
                              SinceBoot told) const noexcept {
  return since != kNever && listed < since && (told == kNotYet || !began_after(process, told));
}

}  // namespace ollamafs
