#include "fs/serve/tool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include "store/base/unique_fd.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

constexpr pid_t kKthreadd = 2;  // whose children the threads of the kernel are
constexpr int kPath = 32;       // bytes of a path in /proc

// Nothing if the file cannot be read, with the reason in errno.
std::string_view beginning_of(const char* path, std::span<char> text) noexcept {
  errno = 0;
  const UniqueFd file{::open(path, O_RDONLY | O_CLOEXEC)};
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : -1;
  return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

// The number in a line of proc_pid_status(5), which begins with its `label`.
std::optional<pid_t> number(std::string_view status, std::string_view label) noexcept {
  const auto found = status.find(label);
  if (found == std::string_view::npos) return std::nullopt;
  status.remove_prefix(found + label.size());
  pid_t value = 0;
  const auto end = std::from_chars(status.data(), status.data() + status.size(), value).ptr;
  return end == status.data() ? std::nullopt : std::optional{value};
}

// A field of proc_pid_stat(5) behind the name, in which there may be spaces and parentheses; 0 if
// it cannot be read.
std::uint64_t stat_field(pid_t thread, int wanted) noexcept {
  char path[kPath], text[512];
  std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(thread));
  std::string_view fields = beginning_of(path, text);
  const auto name_end = fields.rfind(')');
  if (name_end == std::string_view::npos) return 0;
  fields.remove_prefix(name_end + 1);
  for (int field = 2; field < wanted; ++field) {
    const auto space = fields.find(' ');
    if (space == std::string_view::npos) return 0;
    fields.remove_prefix(space + 1);
  }
  std::uint64_t value = 0;
  std::from_chars(fields.data(), fields.data() + fields.size(), value);
  return value;
}

// In a container any process may be the second.
bool is_of_the_kernel(pid_t thread) noexcept {
  constexpr std::uint64_t flag = 0x00200000;  // PF_KTHREAD, include/linux/sched.h
  return (stat_field(thread, 9) & flag) != 0;
}

}  // namespace

SinceBoot since_boot() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
}

// In ticks, of which the moment's own may still be going on.
bool began_after(pid_t process, SinceBoot moment) noexcept {
  static const long ticks = ::sysconf(_SC_CLK_TCK);  // a second
  const std::uint64_t began = stat_field(process, 22);
  return began > static_cast<std::uint64_t>(moment / (SinceBoot{std::chrono::seconds{1}} / ticks));
}

bool has_ended(pid_t process, SinceBoot moment) noexcept {
  if (stands_for_many(process)) return false;
  return (::kill(process, 0) != 0 && errno == ESRCH) || began_after(process, moment);
}

pid_t Tool::process() const noexcept {
  if (thread_ == 0) return process_;
  char path[kPath];
  std::snprintf(path, sizeof path, "/proc/%d/status", static_cast<int>(thread_));
  char text[512];  // both are among the first lines; a name has 15 bytes at most
  const std::string_view status = beginning_of(path, text);
  if (status.empty() && is_shortage({errno, std::generic_category()})) return kUnknown;
  const bool may_be_kernel = thread_ == kKthreadd || number(status, "\nPPid:\t") == kKthreadd;
  if (may_be_kernel && is_of_the_kernel(thread_)) return kKernel;
  return number(status, "\nTgid:\t").value_or(thread_);
}

}  // namespace ollamafs
