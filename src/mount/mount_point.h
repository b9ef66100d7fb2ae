#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "src/mount/log.h"
#include "store/base/unique_fd.h"

namespace ollamafs {

// `given` as an absolute path without symlinks. Only the directory above it need exist, and a dead
// mount at its end is not touched. Not empty. Throws CommandError if there is no directory above,
// or no current directory from which a relative path counts.
[[nodiscard]] std::filesystem::path real_mountpoint(const std::filesystem::path& given);

// Where to mount. While autofs(5) or systemd's automount has something mounted, the kernel lets
// only the process group that was asked for it come to that directory; whoever else uses its path
// waits until the mount is there. So what is wanted of the directory is found in that group, before
// the daemon leaves it, and the daemon goes by the descriptor.
struct MountPlace {
  std::filesystem::path path;  // of real_mountpoint()
  UniqueFd automounted{};      // of a directory of autofs, else nothing
};

// Throws as real_mountpoint().
[[nodiscard]] MountPlace find_mount_place(const std::filesystem::path& given);

// A directory to mount at, ready for use: it is there, nothing is mounted on it, it is empty. If it
// had to be made, it goes when this goes, should it be empty then.
class MountPoint {
 public:
  struct Wanted {
    const MountPlace& place;      // must outlive the mount point
    std::filesystem::path store;  // real path; may not lie in the mount point, nor the reverse
    bool nonempty = false;        // files under the mount point may be hidden by the mount
    std::optional<std::pair<uid_t, gid_t>> owner;  // of the directory, if it has to be made
  };

  // Takes away a mount of ollamafs whose daemon has died, and says so in `log`. Throws CommandError
  // if the directory cannot be used: the message says why, and what to do.
  MountPoint(const Wanted& wanted, Log& log);
  ~MountPoint();
  MountPoint(const MountPoint&) = delete;
  MountPoint& operator=(const MountPoint&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  // What the kernel is told instead: the same directory, without a way to it.
  [[nodiscard]] std::filesystem::path target() const;

  // Whether this process must not use path() before who asked for the mount knows that it is there.
  [[nodiscard]] bool is_automounted() const noexcept { return bool{place_.automounted}; }

 private:
  void refuse_nesting(const std::filesystem::path& store) const;
  void clear_stale_mounts(Log& log) const;
  void refuse_mounted() const;
  void refuse_nonempty() const;
  void create(const std::optional<std::pair<uid_t, gid_t>>& owner);

  const MountPlace& place_;
  const std::filesystem::path& path_;
  bool created_ = false;
};

}  // namespace ollamafs
