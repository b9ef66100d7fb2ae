#include "fs/serve/moments.h"

#include <algorithm>
#include <cstddef>

namespace ollamafs {
namespace {

bool is_over(const std::pair<const pid_t, SinceBoot>& entry) noexcept {
  return has_ended(entry.first, entry.second);
}

}  // namespace

void Moments::note(pid_t process) {
  if (moments_.size() >= many_ && !moments_.contains(process)) {
    std::erase_if(moments_, is_over);
    many_ = std::max(many_, 2 * moments_.size());
  }
  moments_[process] = since_boot();
}

SinceBoot Moments::of(pid_t process) const noexcept {
  const auto it = moments_.find(process);
  return it == moments_.end() ? kNever : it->second;
}

bool Moments::all_have_ended() const noexcept {
  return std::ranges::all_of(moments_, is_over);
}

}  // namespace ollamafs
