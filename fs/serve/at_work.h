#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace ollamafs {

// The tools that are at work: that read blobs, or did so until a moment ago. What is noted about
// how they copy counts for as long, however long it takes them to come to it. A tool is a process,
// see fs/serve/tool.h. Safe to use from several threads.
class AtWork {
 public:
  using Clock = std::chrono::steady_clock;

  // A tool is at work until it has had no blob open for the `hold`.
  explicit AtWork(std::chrono::milliseconds hold) : hold_{hold} {}

  // A blob that a tool has open; ends with this. May be of nothing.
  class Use {
   public:
    Use() noexcept = default;
    Use(AtWork& tools, pid_t tool) noexcept : tools_{&tools}, tool_{tool} {}
    Use(Use&& other) noexcept : tools_{std::exchange(other.tools_, nullptr)}, tool_{other.tool_} {}
    Use& operator=(Use&& other) noexcept {
      std::swap(tools_, other.tools_);
      std::swap(tool_, other.tool_);
      return *this;
    }
    ~Use() {
      if (tools_) tools_->closed(tool_);
    }
    [[nodiscard]] pid_t tool() const noexcept { return tool_; }

   private:
    AtWork* tools_ = nullptr;
    pid_t tool_ = 0;
  };

  // A tool opens a blob.
  [[nodiscard]] Use open(pid_t tool);

  // A tool tried to.
  void tried(pid_t tool);

  [[nodiscard]] bool has(pid_t tool) noexcept;
  [[nodiscard]] std::set<pid_t> all();

 private:
  struct Work {
    unsigned open = 0;
    Clock::time_point last{};  // when it last opened or closed a blob, or tried to
  };

  void closed(pid_t tool) noexcept;
  void forget_idle() noexcept;

  const std::chrono::milliseconds hold_;
  std::mutex mutex_;
  std::map<pid_t, Work> tools_;
};

}  // namespace ollamafs
