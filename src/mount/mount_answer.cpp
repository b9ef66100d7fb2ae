#include "src/mount/mount_answer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "store/base/unique_fd.h"

namespace ollamafs {
namespace {

// The most that the kernel takes for the value of an attribute.
constexpr std::size_t kLongest = 65536;

// In the child: writes the errno, and the value.
[[noreturn]] void ask_for(const char* place, const char* attribute, int pipe) {
  std::string value(kLongest, '\0');
  const ssize_t size = ::getxattr(place, attribute, value.data(), value.size());
  const int error = size < 0 ? errno : 0;
  bool written = ::write(pipe, &error, sizeof error) == sizeof error;
  for (ssize_t done = 0; written && done < size;) {
    const ssize_t n = ::write(pipe, value.data() + done, static_cast<std::size_t>(size - done));
    written = n > 0;
    done += n;
  }
  ::_exit(0);
}

// All that comes until the other end is closed or the time is over; false for the latter.
bool read_within(int pipe, std::chrono::milliseconds patience, std::string& text) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd wait{pipe, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0) return false;
    char buffer[4096];
    const ssize_t n = ::read(pipe, buffer, sizeof buffer);
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
    if (n == 0) return true;
  }
}

}  // namespace

MountAnswer ask_mount(const std::filesystem::path& place, const char* attribute,
                      std::chrono::milliseconds patience) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw std::system_error{errno, std::generic_category(), "pipe"};
  const UniqueFd reader{ends[0]};
  UniqueFd writer{ends[1]};
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error{errno, std::generic_category(), "fork"};
  if (child == 0) ask_for(place.c_str(), attribute, writer.get());
  writer = UniqueFd{};
  std::string said;
  const bool in_time = read_within(reader.get(), patience, said);
  if (!in_time) ::kill(child, SIGKILL);
  // One that cannot be killed now is taken care of when this process is gone.
  while (::waitpid(child, nullptr, in_time ? 0 : WNOHANG) < 0 && errno == EINTR) {
  }
  MountAnswer answer;
  if (!in_time) return {ETIMEDOUT};
  if (said.size() < sizeof answer.error) return {EIO};
  said.copy(reinterpret_cast<char*>(&answer.error), sizeof answer.error);
  answer.text = said.substr(sizeof answer.error);
  return answer;
}

}  // namespace ollamafs
