#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>

#include "fs/serve/at_work.h"

namespace ollamafs {

// Which tools did not get a part of which model, although it is there: a request of theirs failed.
// Tools go on behind what fails; they must not get the manifest. Another tool may have found out
// meanwhile that the trouble is over (see BadBlobs), which does not give the first what it missed.
//
// A model is known by the name of its directory. Safe to use from several threads.
class Misses {
 public:
  using Clock = AtWork::Clock;

  // A tool's misses are forgotten when it is not at work any more. Without a `hold` there are none.
  Misses(AtWork& at_work, std::chrono::milliseconds hold) : at_work_{at_work}, hold_{hold} {}

  // No tool missed anything.
  [[nodiscard]] bool is_empty() noexcept;

  // True if one of these was not known. Where there is no memory to remember them, every tool has
  // missed something of every model.
  bool add(pid_t tool, std::span<const std::string* const> models) noexcept;

  // The tool begins with the model anew.
  void forget(pid_t tool, const std::string& model) noexcept;

  [[nodiscard]] bool has(pid_t tool, const std::string& model) noexcept;

 private:
  void forget_idle() noexcept;

  AtWork& at_work_;
  const std::chrono::milliseconds hold_;
  std::mutex mutex_;
  std::map<pid_t, std::set<std::string>> missed_;
  Clock::time_point all_until_{};
};

}  // namespace ollamafs
