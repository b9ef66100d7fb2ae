#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace ollamafs {

// Which tools did not get a part of which model, although it is there: a request of theirs failed.
// Tools go on behind what fails; they must not get the manifest. Another tool may have found out
// meanwhile that the trouble is over (see BadBlobs), which does not give the first what it missed.
//
// A tool is a thread, and the model is known by the name of its directory. Safe to use from several
// threads.
class Misses {
 public:
  // `hold` is how long a tool may be at a model between one request and the next.
  explicit Misses(std::chrono::milliseconds hold) : hold_{hold} {}

  // True if that was not known. Where there is no memory to remember it, every tool has missed
  // something of every model.
  bool add(pid_t tool, const std::string& model) noexcept;

  // The tool begins with the model anew.
  void forget(pid_t tool, const std::string& model) noexcept;

  [[nodiscard]] bool has(pid_t tool, const std::string& model) noexcept;

 private:
  using Clock = std::chrono::steady_clock;

  void forget_old() noexcept;

  const std::chrono::milliseconds hold_;
  std::mutex mutex_;
  std::map<std::pair<pid_t, std::string>, Clock::time_point> misses_;  // when last
  Clock::time_point all_until_{};
};

}  // namespace ollamafs
