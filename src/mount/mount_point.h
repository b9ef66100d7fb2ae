#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "src/mount/log.h"

namespace ollamafs {

// `given` as an absolute path without symlinks. Only the directory above it need exist, and a dead
// mount at its end is not touched. Not empty. Throws CommandError if there is no directory above,
// or no current directory from which a relative path counts.
[[nodiscard]] std::filesystem::path real_mountpoint(const std::filesystem::path& given);

// A directory to mount at, ready for use: it is there, nothing is mounted on it, it is empty. If it
// had to be made, it goes when this goes, should it be empty then.
class MountPoint {
 public:
  struct Wanted {
    std::filesystem::path path;   // of real_mountpoint()
    std::filesystem::path store;  // real path; may not lie in the mount point, nor the reverse
    bool nonempty = false;        // files under the mount point may be hidden by the mount
    std::optional<std::pair<uid_t, gid_t>> owner;  // of the directory, if it has to be made
  };

  // Takes away a mount of ollamafs whose daemon has died, and says so in `log`. Throws CommandError
  // if the directory cannot be used: the message says why, and what to do.
  MountPoint(Wanted wanted, Log& log);
  ~MountPoint();
  MountPoint(const MountPoint&) = delete;
  MountPoint& operator=(const MountPoint&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  void refuse_nesting(const std::filesystem::path& store) const;
  void clear_stale_mounts(Log& log) const;
  void refuse_mounted() const;
  void refuse_nonempty() const;
  void create(const std::optional<std::pair<uid_t, gid_t>>& owner);

  std::filesystem::path path_;
  bool created_ = false;
};

}  // namespace ollamafs
