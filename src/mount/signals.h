#pragma once

#include <functional>
#include <thread>

#include "store/base/unique_fd.h"

namespace ollamafs {

// Turns SIGTERM, SIGINT and SIGHUP into calls of a function, from a thread of its own, as long as
// this lives. Must be made before any other thread, so that they all have the signals blocked.
class SignalWatcher {
 public:
  // `on_signal` gets the number of the signal and how many came before it.
  explicit SignalWatcher(std::function<void(int signal, int count)> on_signal);
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  void watch();

  std::function<void(int signal, int count)> on_signal_;
  UniqueFd signals_;
  UniqueFd stop_;
  std::thread thread_;
};

// Ends this process by SIGALRM if it still lives when so many seconds have passed.
void leave_within(unsigned seconds) noexcept;

}  // namespace ollamafs
