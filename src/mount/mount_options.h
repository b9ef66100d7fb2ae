#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fs/tree/tree.h"
#include "fs/tree/view.h"

namespace ollamafs {

// What `-o` can say.
struct MountOptions {
  bool allow_other = false;
  bool nonempty = false;
  bool verify = false;  // hash blobs while they are read
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::vector<std::filesystem::path> follow;  // real paths of directories
  std::optional<std::chrono::seconds> poll;  // how often to look for changes; else they are watched
  ViewSet views = ViewSet::all();            // what is shown
  std::uint64_t split = kSplit;              // bytes of a part of an archive
  std::chrono::seconds hold{60};  // how long a model stays as it is after its last file was closed
};

// Reads the arguments of all `-o`, each a list separated by commas; a comma or backslash in a value
// has a backslash before it. Options that the mount has anyway (ro, nosuid, nodev, noexec,
// default_permissions) are taken. Throws CommandError with ExitStatus::usage that names the first
// option which is unknown, lacks its value, names a user or directory that is not there, or asks
// for what this file system does not do (rw, suid).
[[nodiscard]] MountOptions parse_mount_options(const std::vector<std::string>& arguments);

}  // namespace ollamafs
