#include "fs/misses.h"

#include <new>

namespace ollamafs {

Misses::Use Misses::open(pid_t tool) {
  if (hold_.count() == 0) return {};
  const std::scoped_lock lock{mutex_};
  Tool& entry = tools_[tool];
  ++entry.open;
  entry.last = Clock::now();
  return {*this, tool};
}

bool Misses::is_empty() noexcept {
  const std::scoped_lock lock{mutex_};
  return tools_.empty();
}

void Misses::closed(pid_t tool) noexcept {
  const std::scoped_lock lock{mutex_};
  const auto it = tools_.find(tool);
  --it->second.open;
  it->second.last = Clock::now();
  if (it->second.open == 0 && it->second.missed.empty()) tools_.erase(it);
}

bool Misses::add(pid_t tool, std::span<const std::string* const> models) noexcept {
  if (hold_.count() == 0) return false;
  const std::scoped_lock lock{mutex_};
  forget_idle();
  bool any_news = false;
  try {
    Tool& entry = tools_[tool];
    entry.last = Clock::now();
    for (const std::string* const model : models) any_news |= entry.missed.insert(*model).second;
  } catch (const std::bad_alloc&) {
    all_until_ = Clock::now() + hold_;
    return true;
  }
  return any_news;
}

void Misses::forget(pid_t tool, const std::string& model) noexcept {
  const std::scoped_lock lock{mutex_};
  const auto it = tools_.find(tool);
  if (it == tools_.end()) return;
  it->second.missed.erase(model);
  if (it->second.open == 0 && it->second.missed.empty()) tools_.erase(it);
}

bool Misses::has(pid_t tool, const std::string& model) noexcept {
  const std::scoped_lock lock{mutex_};
  forget_idle();
  const auto it = tools_.find(tool);
  return Clock::now() < all_until_ || (it != tools_.end() && it->second.missed.contains(model));
}

void Misses::forget_idle() noexcept {
  const auto now = Clock::now();
  std::erase_if(tools_, [&](const auto& entry) {
    return entry.second.open == 0 && now - entry.second.last >= hold_;
  });
}

}  // namespace ollamafs
