#include "src/mount/background.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "store/base/unique_fd.h"

namespace ollamafs {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error{errno, std::generic_category(), what};
}

void leave_terminal() {
  if (::chdir("/") != 0) fail("chdir /");
  const UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  if (!null) fail("/dev/null");
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::dup2(null.get(), standard) < 0) fail("/dev/null");
  }
}

// The signals that end a program politely, blocked from here on, in children too.
UniqueFd take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  UniqueFd signals{::signalfd(-1, &set, SFD_CLOEXEC)};
  if (!signals) fail("signalfd");
  return signals;
}

// Ctrl-C goes to every process in the terminal's foreground group. If it comes just after the fork,
// the child has it too, and then gets it once more, passed on by the parent. As two signals they
// would end at once what one lets end in order, so the child's own is dropped.
void drop_pending_signals(int signals) {
  pollfd pending{signals, POLLIN, 0};
  signalfd_siginfo info{};
  while (::poll(&pending, 1, 0) > 0 && ::read(signals, &info, sizeof info) > 0) {
  }
}

void tell(int pipe) {
  const char byte = 1;
  if (::write(pipe, &byte, 1) != 1) fail("the command that started this is gone");
}

// Whether the other end said something before it was closed.
bool hears(int pipe) {
  char byte = 0;
  ssize_t n = 0;
  while ((n = ::read(pipe, &byte, 1)) < 0 && errno == EINTR) {
  }
  return n == 1;
}

// What became of the child when it got ready, or ended.
struct Start {
  bool ready = false;
  int signal = 0;  // the last that came meanwhile, and was passed on
};

Start wait_for_start(pid_t child, int pipe, int signals) {
  Start start;
  // Nothing is passed on before the child says that it has dropped its own signals, and leads a
  // session, to which the terminal sends none.
  if (!hears(pipe)) return start;
  pollfd waits[] = {{pipe, POLLIN, 0}, {signals, POLLIN, 0}};
  for (;;) {
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) fail("poll");
    if (waits[0].revents != 0) {
      start.ready = hears(pipe);
      return start;
    }
    signalfd_siginfo info{};
    if (waits[1].revents != 0 && ::read(signals, &info, sizeof info) == sizeof info) {
      start.signal = static_cast<int>(info.ssi_signo);
      ::kill(child, start.signal);
    }
  }
}

ExitStatus wait_for_end(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("waitpid");
  }
  if (WIFEXITED(status)) return static_cast<ExitStatus>(WEXITSTATUS(status));
  std::fprintf(stderr, "ollamafs: error: the daemon was ended by signal %d\n", WTERMSIG(status));
  return ExitStatus::failed;
}

// By its default action, so that the shell sees what ended this process.
void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  ::raise(signal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

void close_inherited_files() {
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
}

ExitStatus run_in_background(
    const std::function<ExitStatus(const std::function<void()>& ready)>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  UniqueFd reader{ends[0]}, writer{ends[1]};
  UniqueFd signals = take_signals();

  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    reader = UniqueFd{};
    ::setsid();
    drop_pending_signals(signals.get());
    signals = UniqueFd{};
    tell(writer.get());
    return work([&writer] {
      leave_terminal();
      tell(writer.get());
      writer = UniqueFd{};
    });
  }

  writer = UniqueFd{};
  const Start start = wait_for_start(child, reader.get(), signals.get());
  if (start.ready && start.signal == 0) return ExitStatus::ok;
  const ExitStatus status = wait_for_end(child);
  if (start.signal == 0) return status;
  end_by(start.signal);
  return ExitStatus::failed;
}

}  // namespace ollamafs
