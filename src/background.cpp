#include "src/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "store/unique_fd.h"

namespace ollamafs {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error{errno, std::generic_category(), what};
}

void leave_terminal() {
  ::setsid();
  if (::chdir("/") != 0) fail("chdir /");
  const UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  if (!null) fail("/dev/null");
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::dup2(null.get(), standard) < 0) fail("/dev/null");
  }
}

ExitStatus wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("waitpid");
  }
  if (WIFEXITED(status)) return static_cast<ExitStatus>(WEXITSTATUS(status));
  std::fprintf(stderr, "ollamafs: error: the daemon was ended by signal %d\n", WTERMSIG(status));
  return ExitStatus::failed;
}

}  // namespace

void open_standard_files() {
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(file, F_GETFD) >= 0) continue;
    // Takes the lowest free number, which is this one.
    (void)::open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

ExitStatus run_in_background(
    const std::function<ExitStatus(const std::function<void()>& ready)>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  UniqueFd reader{ends[0]}, writer{ends[1]};

  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    reader = UniqueFd{};
    return work([&writer] {
      leave_terminal();
      const char ready = 1;
      (void)!::write(writer.get(), &ready, 1);
      writer = UniqueFd{};
    });
  }

  writer = UniqueFd{};
  char ready = 0;
  ssize_t n = 0;
  while ((n = ::read(reader.get(), &ready, 1)) < 0 && errno == EINTR) {
  }
  return n == 1 ? ExitStatus::ok : wait_for(child);
}

}  // namespace ollamafs
