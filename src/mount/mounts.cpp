#include "src/mount/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "store/base/text.h"
#include "store/base/unique_fd.h"

namespace ollamafs {
namespace {

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::string read_all(int fd) {
  std::string text;
  char buffer[512];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR);) {
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t* get() noexcept { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

constexpr const char* kFusermount = "fusermount3";

// Runs fusermount3 and returns what it complained of, or nothing if it did what it was asked.
std::optional<std::string> run_fusermount(const std::filesystem::path& path, bool lazy) {
  const auto program = find_fusermount();
  if (!program) return "fusermount3 is missing: install the package fuse3";
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::string{std::strerror(errno)};
  const UniqueFd reader{ends[0]};
  UniqueFd writer{ends[1]};
  SpawnActions actions;
  ::posix_spawn_file_actions_adddup2(actions.get(), writer.get(), STDERR_FILENO);
  std::string name = kFusermount, options = lazy ? "-uz" : "-u", dashes = "--", target = path;
  char* arguments[] = {name.data(), options.data(), dashes.data(), target.data(), nullptr};
  pid_t child = 0;
  if (const int error =
          ::posix_spawn(&child, program->c_str(), actions.get(), nullptr, arguments, environ)) {
    return fmt::format("fusermount3 cannot be run: {}", std::strerror(error));
  }
  writer = UniqueFd{};
  const std::string complaint = trimmed(read_all(reader.get()));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
  return complaint.empty() ? "fusermount3 failed" : printable(complaint);
}

}  // namespace

std::optional<MountEntry> mounted_at(const std::filesystem::path& path) {
  std::optional<MountEntry> found;
  for (MountEntry& entry : mount_table()) {
    if (entry.mountpoint == path) found = std::move(entry);
  }
  return found;
}

std::vector<MountEntry> mounts_of_ollamafs() {
  std::vector<MountEntry> topmost;  // at each place
  for (MountEntry& entry : mount_table()) {
    std::erase_if(topmost,
                  [&](const MountEntry& below) { return below.mountpoint == entry.mountpoint; });
    topmost.push_back(std::move(entry));
  }
  std::erase_if(topmost, [](const MountEntry& entry) { return entry.type != kMountType; });
  return topmost;
}

std::optional<uid_t> owner_of(const MountEntry& mount) {
  constexpr std::string_view name = ",user_id=";
  const std::string options = "," + mount.options;
  const auto at = options.find(name);
  uid_t user = 0;
  if (at == options.npos) return std::nullopt;
  const char* const digits = options.data() + at + name.size();
  const auto [end, ec] = std::from_chars(digits, options.data() + options.size(), user);
  if (ec != std::errc{}) return std::nullopt;
  return user;
}

// stat() and opendir() may be answered from the kernel's memory of a dead mount, this is not.
bool is_dead(const std::filesystem::path& path) {
  struct statvfs st {};
  return ::statvfs(path.c_str(), &st) != 0 && errno == ENOTCONN;
}

std::vector<std::filesystem::path> places_of(dev_t device) {
  std::vector<std::filesystem::path> places;
  for (const MountEntry& entry : mount_table()) {
    const std::filesystem::path place{entry.mountpoint};
    if (entry.device == device && std::ranges::find(places, place) == places.end()) {
      places.push_back(place);
    }
  }
  return places;
}

std::optional<std::filesystem::path> find_fusermount() {
  std::string places = "/usr/bin:/bin";
  if (const char* path = std::getenv("PATH")) places = places + ":" + path;
  std::istringstream list{places};
  for (std::string place; std::getline(list, place, ':');) {
    const std::filesystem::path program = std::filesystem::path{place} / kFusermount;
    if (program.is_absolute() && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return std::nullopt;
}

std::optional<std::string> unmount(const std::filesystem::path& path, bool lazy) {
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return std::nullopt;
  // Ordinary users may not, but fusermount3 may for them. A service may that has CAP_SYS_ADMIN.
  if (errno == EPERM && ::geteuid() != 0) return run_fusermount(path, lazy);
  return std::string{std::strerror(errno)};
}

}  // namespace ollamafs
