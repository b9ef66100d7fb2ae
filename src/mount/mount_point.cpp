#include "src/mount/mount_point.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "src/mount/mounts.h"
#include "src/say/exit_status.h"
#include "src/store/caller.h"
#include "store/base/dir_stream.h"
#include "store/base/text.h"
#include "store/folder/store_dir.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

std::string shown(const fs::path& path) {
  return printable(path.string());
}

bool is_empty(DIR* dir) {
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return false;
  }
  return true;
}

}  // namespace

fs::path real_mountpoint(const fs::path& given) {
  std::error_code ec;
  fs::path path = fs::absolute(given, ec);  // not normal: "link/.." is where the kernel says
  if (ec) {
    throw CommandError{
        fmt::format("the mount point {}: the current directory: {}", shown(given), ec.message())};
  }
  while (path.has_relative_path() && !path.has_filename()) path = path.parent_path();  // "dir/"
  if (fs::path real = fs::canonical(path, ec); !ec) return real;
  const fs::path above = fs::canonical(path.parent_path(), ec);
  if (ec) {
    throw CommandError{fmt::format("the mount point {}: {}: {}", shown(given),
                                   shown(path.parent_path()), ec.message())};
  }
  return above / path.filename();
}

MountPlace find_mount_place(const fs::path& given) {
  MountPlace place{real_mountpoint(given)};
  UniqueFd directory{::open(place.path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  struct statfs st {};
  if (directory && ::fstatfs(directory.get(), &st) == 0 && st.f_type == AUTOFS_SUPER_MAGIC)
    place.automounted = std::move(directory);
  return place;
}

MountPoint::MountPoint(const Wanted& wanted, Log& log)
    : place_{wanted.place}, path_{wanted.place.path} {
  refuse_nesting(wanted.store);
  if (is_automounted()) {
    refuse_mounted();
    return;
  }
  clear_stale_mounts(log);
  refuse_mounted();  // first: what another user has mounted may not even be looked at
  struct stat st {};
  if (::lstat(path_.c_str(), &st) != 0) {
    if (errno != ENOENT) {
      throw CommandError{fmt::format("the mount point {}: {}", shown(path_), std::strerror(errno))};
    }
    create(wanted.owner);
    return;
  }
  if (!S_ISDIR(st.st_mode)) {
    throw CommandError{fmt::format("the mount point {} is not a directory", shown(path_))};
  }
  if (!wanted.nonempty) refuse_nonempty();
}

// Only the directory itself, and only if nobody has put anything into it.
MountPoint::~MountPoint() {
  if (created_) ::rmdir(path_.c_str());
}

fs::path MountPoint::target() const {
  if (!is_automounted()) return path_;
  return fmt::format("/proc/self/fd/{}", place_.automounted.get());
}

void MountPoint::refuse_nesting(const fs::path& store) const {
  if (is_beneath(store, path_)) {
    throw CommandError{
        fmt::format("the store {} lies in the mount point {} and would be hidden: mount elsewhere",
                    shown(store), shown(path_))};
  }
  if (is_beneath(path_, store)) {
    throw CommandError{fmt::format("the mount point {} lies in the store {}: mount elsewhere",
                                   shown(path_), shown(store))};
  }
}

void MountPoint::clear_stale_mounts(Log& log) const {
  while (is_dead(path_)) {
    const auto entry = mounted_at(path_);
    if (!entry || entry->type != kMountType) {
      throw CommandError{fmt::format(
          "at {} is a dead mount ({}) that is not ollamafs's: unmount it with `fusermount3 -u {}`",
          shown(path_), entry ? printable(entry->type) : "of no known kind",
          shell_word(path_.native()))};
    }
    if (const auto obstacle = unmount(path_, true)) {
      throw CommandError{fmt::format("at {} is a dead mount of ollamafs that cannot be cleared: {}",
                                     shown(path_), *obstacle)};
    }
    log->info("cleared a dead mount at {}, left by a daemon that was killed", shown(path_));
  }
}

void MountPoint::refuse_mounted() const {
  const auto entry = mounted_at(path_);
  if (!entry || (is_automounted() && entry->type == "autofs")) return;
  if (entry->type == kMountType) {
    throw CommandError{
        fmt::format("{} is in use: it shows the store {} already; `{}ollamafs umount {}` ends that",
                    shown(path_), printable(entry->source), sudo_caller() ? "sudo " : "",
                    shell_word(path_.native()))};
  }
  throw CommandError{fmt::format("{} is in use: {} ({}) is mounted there", shown(path_),
                                 printable(entry->source), printable(entry->type))};
}

void MountPoint::refuse_nonempty() const {
  const DirStream dir{::opendir(path_.c_str())};
  if (!dir) {
    throw CommandError{fmt::format("the mount point {}: {}", shown(path_), std::strerror(errno))};
  }
  if (is_empty(dir.get())) return;
  throw CommandError{fmt::format(
      "the mount point {} is not empty: mount elsewhere, or hide what is there with -o nonempty",
      shown(path_))};
}

void MountPoint::create(const std::optional<std::pair<uid_t, gid_t>>& owner) {
  if (::mkdir(path_.c_str(), 0755) != 0) {
    throw CommandError{
        fmt::format("the mount point {} cannot be made: {}", shown(path_), std::strerror(errno))};
  }
  created_ = true;
  if (owner && ::lchown(path_.c_str(), owner->first, owner->second) != 0) {
    const int error = errno;
    ::rmdir(path_.c_str());
    throw CommandError{fmt::format("the mount point {} cannot be given to its user: {}",
                                   shown(path_), std::strerror(error))};
  }
}

}  // namespace ollamafs
