#include "fs/serve/at_work.h"

namespace ollamafs {

AtWork::Use AtWork::open(pid_t tool) {
  const std::scoped_lock lock{mutex_};
  forget_idle();
  Work& work = tools_[tool];
  ++work.open;
  work.last = Clock::now();
  return {*this, tool};
}

void AtWork::closed(pid_t tool) noexcept {
  const std::scoped_lock lock{mutex_};
  Work& work = tools_.find(tool)->second;
  --work.open;
  work.last = Clock::now();
}

void AtWork::tried(pid_t tool) {
  const std::scoped_lock lock{mutex_};
  tools_[tool].last = Clock::now();
}

bool AtWork::has(pid_t tool) noexcept {
  const std::scoped_lock lock{mutex_};
  forget_idle();
  return tools_.contains(tool);
}

std::set<pid_t> AtWork::all() {
  const std::scoped_lock lock{mutex_};
  forget_idle();
  std::set<pid_t> tools;
  for (const auto& [tool, work] : tools_) tools.insert(tools.end(), tool);
  return tools;
}

void AtWork::forget_idle() noexcept {
  const auto now = Clock::now();
  std::erase_if(tools_, [&](const auto& entry) {
    return entry.second.open == 0 && now - entry.second.last >= hold_;
  });
}

}  // namespace ollamafs
