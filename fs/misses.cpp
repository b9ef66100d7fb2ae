#include "fs/misses.h"

#include <algorithm>
#include <new>

namespace ollamafs {

bool Misses::add(pid_t tool, const std::string& model) noexcept {
  const std::scoped_lock lock{mutex_};
  forget_old();
  const auto now = Clock::now();
  try {
    return misses_.insert_or_assign({tool, model}, now).second;
  } catch (const std::bad_alloc&) {
    all_until_ = now + hold_;
    return true;
  }
}

void Misses::forget(pid_t tool, const std::string& model) noexcept {
  const std::scoped_lock lock{mutex_};
  std::erase_if(misses_, [&](const auto& miss) {
    return miss.first.first == tool && miss.first.second == model;
  });
}

bool Misses::has(pid_t tool, const std::string& model) noexcept {
  const std::scoped_lock lock{mutex_};
  forget_old();
  return Clock::now() < all_until_ || std::ranges::any_of(misses_, [&](const auto& miss) {
           return miss.first.first == tool && miss.first.second == model;
         });
}

void Misses::forget_old() noexcept {
  const auto now = Clock::now();
  std::erase_if(misses_, [&](const auto& miss) { return now - miss.second >= hold_; });
}

}  // namespace ollamafs
