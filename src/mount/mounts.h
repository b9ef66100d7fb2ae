#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "store/watch/mount_table.h"

namespace ollamafs {

// What is mounted at `path`, the topmost if several mounts are stacked; nothing if it is no mount
// point. `path` is absolute and without symlinks. Throws as mount_table.
[[nodiscard]] std::optional<MountEntry> mounted_at(const std::filesystem::path& path);

// The mounts of ollamafs that this process can come to, in the order in which they were made.
// Throws as mounted_at.
[[nodiscard]] std::vector<MountEntry> mounts_of_ollamafs();

// Who has made a mount of ollamafs, and may end it.
[[nodiscard]] std::optional<uid_t> owner_of(const MountEntry& mount);

// Whether what is mounted at `path` has lost the daemon that served it.
[[nodiscard]] bool is_dead(const std::filesystem::path& path);

// Where this file system is mounted, each place once. Throws as mounted_at.
[[nodiscard]] std::vector<std::filesystem::path> places_of(dev_t device);

// The helper that mounts and unmounts for ordinary users: from its usual place, where libfuse looks
// too, else from PATH. Nothing if it is not installed.
[[nodiscard]] std::optional<std::filesystem::path> find_fusermount();

// Takes a mount away. As root by the system call, else through fusermount3. With `lazy` it goes
// from the tree at once and ends when nothing of it is open any more. Returns what stood in the
// way, a printable line, or nothing if it is done.
[[nodiscard]] std::optional<std::string> unmount(const std::filesystem::path& path, bool lazy);

}  // namespace ollamafs
