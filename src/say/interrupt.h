#pragma once

#include <csignal>
#include <vector>

namespace ollamafs {

// As long as this lives, SIGINT, SIGTERM and SIGHUP do not end the process but are remembered, and
// a system call that one of them meets ends with EINTR: whoever works calls throw_if_interrupted(),
// by Progress::add as a rule, and is unwound. The second signal ends the process at once. What was
// ignored stays so, as nohup(1) wants it.
//
// SIGPIPE is ignored meanwhile: a write to a pipe that nobody reads any more fails with EPIPE.
//
// For the thread that is main(), one at a time. Threads that it starts may call
// throw_if_interrupted().
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct Former {
    int signal;
    struct sigaction action;
  };
  void replace(int signal, const struct sigaction& action);

  std::vector<Former> former_;
};

// Whether one of the signals came since the last InterruptGuard was made.
[[nodiscard]] bool is_interrupted() noexcept;

// Throws Interrupted (store/base/progress.h) if so.
void throw_if_interrupted();

}  // namespace ollamafs
