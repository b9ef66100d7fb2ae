#include "fs/tool.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <optional>
#include <string_view>

#include "store/unique_fd.h"

namespace ollamafs {
namespace {

constexpr pid_t kKernel = 2;  // kthreadd, whose children its threads are
constexpr int kPath = 32;     // bytes of a path in /proc

// The number in a line of proc_pid_status(5), which begins with its `label`.
std::optional<pid_t> number(std::string_view status, std::string_view label) noexcept {
  const auto found = status.find(label);
  if (found == std::string_view::npos) return std::nullopt;
  status.remove_prefix(found + label.size());
  pid_t value = 0;
  const auto end = std::from_chars(status.data(), status.data() + status.size(), value).ptr;
  return end == status.data() ? std::nullopt : std::optional{value};
}

// It runs no program. In a container the second process may be any.
bool is_of_the_kernel(pid_t thread) noexcept {
  char path[kPath], target[1];
  std::snprintf(path, sizeof path, "/proc/%d/exe", static_cast<int>(thread));
  return ::readlink(path, target, sizeof target) < 0 && errno == ENOENT;
}

}  // namespace

pid_t Tool::process() const noexcept {
  if (thread_ == 0) return process_;
  char path[kPath];
  std::snprintf(path, sizeof path, "/proc/%d/status", static_cast<int>(thread_));
  const UniqueFd file{::open(path, O_RDONLY | O_CLOEXEC)};
  char text[512];  // both are among the first lines; a name has 15 bytes at most
  const ssize_t size = file ? ::read(file.get(), text, sizeof text) : -1;
  if (size <= 0) return thread_;
  const std::string_view status{text, static_cast<std::size_t>(size)};
  if (number(status, "\nPPid:\t") == kKernel && is_of_the_kernel(thread_)) return kKernel;
  return number(status, "\nTgid:\t").value_or(thread_);
}

}  // namespace ollamafs
