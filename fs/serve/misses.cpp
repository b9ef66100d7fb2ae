#include "fs/serve/misses.h"

#include <new>

namespace ollamafs {

bool Misses::is_empty() noexcept {
  const std::scoped_lock lock{mutex_};
  forget_idle();
  return missed_.empty();
}

bool Misses::add(pid_t tool, std::span<const std::string* const> models) noexcept {
  if (hold_.count() == 0) return false;
  const std::scoped_lock lock{mutex_};
  forget_idle();
  bool any_news = false;
  try {
    at_work_.tried(tool);
    auto& missed = missed_[tool];
    for (const std::string* const model : models) any_news |= missed.insert(*model).second;
  } catch (const std::bad_alloc&) {
    all_until_ = Clock::now() + hold_;
    return true;
  }
  return any_news;
}

void Misses::forget(pid_t tool, const std::string& model) noexcept {
  const std::scoped_lock lock{mutex_};
  const auto it = missed_.find(tool);
  if (it == missed_.end()) return;
  it->second.erase(model);
  if (it->second.empty()) missed_.erase(it);
}

bool Misses::has(pid_t tool, const std::string& model) noexcept {
  const std::scoped_lock lock{mutex_};
  forget_idle();
  const auto it = missed_.find(tool);
  return Clock::now() < all_until_ || (it != missed_.end() && it->second.contains(model));
}

void Misses::forget_idle() noexcept {
  std::erase_if(missed_, [&](const auto& entry) { return !at_work_.has(entry.first); });
}

}  // namespace ollamafs
