#include "src/mount/signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace ollamafs {

SignalWatcher::SignalWatcher(std::function<void(int, int)> on_signal)
    : on_signal_{std::move(on_signal)} {
  std::signal(SIGPIPE, SIG_IGN);

  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = UniqueFd{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
  stop_ = UniqueFd{::eventfd(0, EFD_CLOEXEC)};
  if (!signals_ || !stop_) throw std::system_error{errno, std::generic_category(), "signalfd"};
  thread_ = std::thread{[this] { watch(); }};
}

SignalWatcher::~SignalWatcher() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void SignalWatcher::watch() {
  pollfd waits[] = {{signals_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  for (int count = 0; (waits[1].revents & POLLIN) == 0;) {
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return;
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      on_signal_(static_cast<int>(info.ssi_signo), count++);
    }
  }
}

void leave_within(unsigned seconds) noexcept {
  std::signal(SIGALRM, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ::alarm(seconds);
}

}  // namespace ollamafs
