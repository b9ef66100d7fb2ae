#include "tests/soak/copying_process.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <csignal>
#include <exception>
#include <stdexcept>
#include <string_view>

#include "tests/mounted/stepwise_copy.h"

namespace ollamafs::test {
namespace {

// One message each way for a copy: the model's path; then whether it failed, and its fault.
constexpr char kFailed = 'f', kWhole = 'w';

std::string outcome_of(const std::filesystem::path& model) {
  const StepwiseCopy copy{model};
  return (copy.failed() ? kFailed : kWhole) + copy.fault();
}

[[noreturn]] void copy_on_request(int connection) {
  std::array<char, PATH_MAX> message;
  for (;;) {
    const ssize_t n = ::recv(connection, message.data(), message.size(), 0);
    if (n <= 0) ::_exit(0);
    std::string answer;
    try {
      answer = outcome_of(std::string_view{message.data(), static_cast<std::size_t>(n)});
    } catch (const std::exception& error) {
      answer = kWhole + std::string{error.what()};
    }
    if (::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) ::_exit(1);
  }
}

}  // namespace

CopyingProcess::CopyingProcess() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    throw std::runtime_error{"socketpair"};
  }
  connection_ = UniqueFd{ends[0]};
  const UniqueFd other_end{ends[1]};
  child_ = ::fork();
  if (child_ < 0) throw std::runtime_error{"fork"};
  if (child_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  connection_ = UniqueFd{};
  copy_on_request(other_end.get());
}

CopyingProcess::~CopyingProcess() {
  // Those that were forked later have this end too.
  ::shutdown(connection_.get(), SHUT_RDWR);
  ::waitpid(child_, nullptr, 0);
}

CopyingProcess::Outcome CopyingProcess::copy(const std::filesystem::path& model) const {
  const std::string path = model.string();
  std::array<char, 4096> message;
  ssize_t n = ::send(connection_.get(), path.data(), path.size(), MSG_NOSIGNAL);
  if (n > 0) n = ::recv(connection_.get(), message.data(), message.size(), 0);
  if (n <= 0) throw std::runtime_error{"the process that copies has ended"};
  return {message[0] == kFailed, {message.data() + 1, static_cast<std::size_t>(n) - 1}};
}

}  // namespace ollamafs::test
