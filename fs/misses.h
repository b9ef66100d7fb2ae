#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <utility>

namespace ollamafs {

// Which tools did not get a part of which model, although it is there: a request of theirs failed.
// Tools go on behind what fails; they must not get the manifest. Another tool may have found out
// meanwhile that the trouble is over (see BadBlobs), which does not give the first what it missed.
//
// A tool is a process, and a model is known by the name of its directory. Safe to use from several
// threads.
class Misses {
 public:
  using Clock = std::chrono::steady_clock;

  // A tool's misses are forgotten when it has had no blob open for the `hold`.
  explicit Misses(std::chrono::milliseconds hold) : hold_{hold} {}

  // A blob that a tool has open; ends with this. May be of nothing.
  class Use {
   public:
    Use() noexcept = default;
    Use(Misses& misses, pid_t tool) noexcept : misses_{&misses}, tool_{tool} {}
    Use(Use&& other) noexcept
        : misses_{std::exchange(other.misses_, nullptr)}, tool_{other.tool_} {}
    Use& operator=(Use&& other) noexcept {
      std::swap(misses_, other.misses_);
      std::swap(tool_, other.tool_);
      return *this;
    }
    ~Use() {
      if (misses_) misses_->closed(tool_);
    }

   private:
    Misses* misses_ = nullptr;
    pid_t tool_ = 0;
  };

  [[nodiscard]] Use open(pid_t tool);

  // No tool reads a blob, and none missed anything.
  [[nodiscard]] bool is_empty() noexcept;

  // True if one of these was not known. Where there is no memory to remember them, every tool has
  // missed something of every model.
  bool add(pid_t tool, std::span<const std::string* const> models) noexcept;

  // The tool begins with the model anew.
  void forget(pid_t tool, const std::string& model) noexcept;

  [[nodiscard]] bool has(pid_t tool, const std::string& model) noexcept;

 private:
  struct Tool {
    unsigned open = 0;
    Clock::time_point last{};  // when it last opened or closed a blob, or missed something
    std::set<std::string> missed;
  };

  void closed(pid_t tool) noexcept;
  void forget_idle() noexcept;

  const std::chrono::milliseconds hold_;
  std::mutex mutex_;
  std::map<pid_t, Tool> tools_;
  Clock::time_point all_until_{};
};

}  // namespace ollamafs
