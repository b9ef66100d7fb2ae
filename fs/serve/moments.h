#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>

#include "fs/serve/tool.h"

namespace ollamafs {

// When each of some processes last did something. A number that another process has by now is none
// of those that did it: has_ended() and began_after() tell by the moment.
//
// Not safe to use from several threads.
class Moments {
 public:
  static constexpr SinceBoot kNever{-1};

  // The process does it now. Throws std::bad_alloc. Processes that have ended go when there are
  // many.
  void note(pid_t process);

  // kNever: it did not.
  [[nodiscard]] SinceBoot of(pid_t process) const noexcept;

  void erase(pid_t process) noexcept { moments_.erase(process); }
  void clear() noexcept { moments_.clear(); }

  // Whether all of these processes have ended.
  [[nodiscard]] bool all_have_ended() const noexcept;

 private:
  std::map<pid_t, SinceBoot> moments_;
  std::size_t many_ = 64;  // so many are looked through for those that have ended
};

}  // namespace ollamafs
