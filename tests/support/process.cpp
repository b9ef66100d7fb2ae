#include "tests/support/process.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "store/base/unique_fd.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

constexpr int kCannotStart = 127;

int status_of(int raw) {
  return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error{"pipe"};
  return {UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

// In the child, between fork and exec. The program leads a process group of its own and does not
// outlive the test.
[[noreturn]] void become(const std::vector<std::string>& command, const RunOptions& options, int in,
                         int out, int err) {
  ::setpgid(0, 0);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  if (options.descriptors) {
    const rlimit limit{*options.descriptors, *options.descriptors};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) ::_exit(kCannotStart);
  }
  for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
  if (options.as && (::setgroups(0, nullptr) != 0 || ::setgid(options.as->gid) != 0 ||
                     ::setuid(options.as->uid) != 0)) {
    ::_exit(kCannotStart);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the change of user, which clears it
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(kCannotStart);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::dprintf(STDERR_FILENO, "%s: %s\n", arguments[0], std::strerror(errno));
  ::_exit(kCannotStart);
}

// Feeds `input` and collects both outputs until all ends are closed or the time is over.
void converse(UniqueFd in, UniqueFd out, UniqueFd err, const std::string& input, Result& result,
              std::chrono::steady_clock::time_point end) {
  std::size_t fed = 0;
  if (input.empty()) in = UniqueFd{};
  ::fcntl(in.get(), F_SETFL, O_NONBLOCK);
  while (out || err) {
    pollfd waits[] = {{in.get(), POLLOUT, 0}, {out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || ::poll(waits, 3, static_cast<int>(left.count())) == 0) return;
    if (waits[0].revents != 0) {
      const ssize_t n = ::write(in.get(), input.data() + fed, input.size() - fed);
      if (n > 0) fed += static_cast<std::size_t>(n);
      if (n < 0 || fed == input.size()) in = UniqueFd{};
    }
    const auto drain = [](UniqueFd& fd, short events, std::string& text) {
      if (events == 0) return;
      char buffer[65536];
      const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
      if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
      if (n == 0) fd = UniqueFd{};
    };
    drain(out, waits[1].revents, result.out);
    drain(err, waits[2].revents, result.err);
  }
}

}  // namespace

User User::named(const std::string& name) {
  const passwd* entry = ::getpwnam(name.c_str());
  if (!entry) throw std::runtime_error{"no such user: " + name};
  return {name, entry->pw_uid, entry->pw_gid};
}

Result run(const std::vector<std::string>& command, const RunOptions& options) {
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  auto [err_read, err_write] = make_pipe();
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error{"fork"};
  if (child == 0) become(command, options, in_read.get(), out_write.get(), err_write.get());
  in_read = UniqueFd{};
  out_write = UniqueFd{};
  err_write = UniqueFd{};

  Result result;
  const auto end = std::chrono::steady_clock::now() + options.timeout;
  converse(std::move(in_write), std::move(out_read), std::move(err_read), options.input, result,
           end);
  int raw = 0;
  if (!eventually([&] { return ::waitpid(child, &raw, WNOHANG) == child; },
                  std::chrono::duration_cast<std::chrono::milliseconds>(
                      end - std::chrono::steady_clock::now()))) {
    ::kill(-child, SIGKILL);
    ::waitpid(child, &raw, 0);
    ADD_FAILURE() << command.front() << " took longer than " << options.timeout.count() << " s";
  }
  result.status = status_of(raw);
  if (result.status == kCannotStart) {
    throw std::runtime_error{"cannot run " + command.front() + ": " + result.err};
  }
  return result;
}

Result shell(const std::string& line, const RunOptions& options) {
  return run({"sh", "-c", line}, options);
}

std::string must(const std::vector<std::string>& command, const RunOptions& options) {
  Result result = run(command, options);
  if (result.status == 0) return result.out;
  std::string line;
  for (const std::string& word : command) line += word + " ";
  throw std::runtime_error{line + "ended with " + std::to_string(result.status) + ": " +
                           result.err};
}

Background::Background(const std::vector<std::string>& command, const RunOptions& options) {
  std::string name = (std::filesystem::temp_directory_path() / "ollamafs-err-XXXXXX").string();
  const UniqueFd err{::mkostemp(name.data(), O_CLOEXEC)};
  err_file_ = name;
  const UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
  if (!err || !null) throw std::runtime_error{"cannot run " + command.front()};
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error{"fork"};
  if (pid_ == 0) become(command, options, null.get(), err.get(), err.get());
}

Background::~Background() {
  if (!ended()) {
    ::kill(pid_, SIGKILL);
    int raw = 0;
    ::waitpid(pid_, &raw, 0);
  }
  std::error_code ignored;
  std::filesystem::remove(err_file_, ignored);
}

std::string Background::err() const {
  return read_file(err_file_);
}

void Background::signal(int number) const {
  ::kill(pid_, number);
}

std::optional<int> Background::ended() {
  int raw = 0;
  if (!status_ && ::waitpid(pid_, &raw, WNOHANG) == pid_) status_ = status_of(raw);
  return status_;
}

std::optional<int> Background::wait(std::chrono::seconds timeout) {
  eventually([&] { return ended().has_value(); }, timeout);
  return status_;
}

void sleep_a_little() {
  std::this_thread::sleep_for(std::chrono::milliseconds{5});
}

}  // namespace ollamafs::test
