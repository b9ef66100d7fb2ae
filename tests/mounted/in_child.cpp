#include "tests/mounted/in_child.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <stdexcept>

#include "store/base/unique_fd.h"

namespace ollamafs::test {
namespace {

[[noreturn]] void run_to_end(const std::optional<User>& user,
                             const std::function<std::string()>& action, int out) {
  if (user && (::setgroups(0, nullptr) != 0 || ::setresgid(user->gid, user->gid, user->gid) != 0 ||
               ::setresuid(user->uid, user->uid, user->uid) != 0)) {
    ::_exit(2);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the change of user, which clears it
  std::string said;
  int status = 0;
  try {
    said = action();
  } catch (const std::exception& failure) {
    said = failure.what();
    status = 1;
  }
  for (std::size_t done = 0; done < said.size();) {
    const ssize_t n = ::write(out, said.data() + done, said.size() - done);
    if (n <= 0) ::_exit(3);
    done += static_cast<std::size_t>(n);
  }
  ::_exit(status);
}

}  // namespace

std::string in_child(const std::optional<User>& user, const std::function<std::string()>& action) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error{"pipe"};
  const UniqueFd read_end{ends[0]};
  UniqueFd write_end{ends[1]};
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error{"fork"};
  if (child == 0) run_to_end(user, action, write_end.get());
  write_end = UniqueFd{};
  std::string said;
  char buffer[4096];
  for (ssize_t n; (n = ::read(read_end.get(), buffer, sizeof buffer)) > 0;) {
    said.append(buffer, static_cast<std::size_t>(n));
  }
  int raw = 0;
  ::waitpid(child, &raw, 0);
  if (!WIFEXITED(raw) || WEXITSTATUS(raw) != 0) {
    throw std::runtime_error{"the child failed with " + std::to_string(raw) + ": " + said};
  }
  return said;
}

}  // namespace ollamafs::test
