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
  bool allow_root = false;
  bool nofail = false;  // a store that is not there is no error
  bool nonempty = false;
  bool verify = false;  // hash blobs while they are read
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::vector<std::filesystem::path> follow;  // real paths of directories
  std::optional<std::chrono::seconds> poll;  // how often to look for changes; else they are watched
  ViewSet views = ViewSet::all();            // what is shown
  std::uint64_t split = kSplit;              // bytes of a part of an archive
  std::chrono::seconds hold{60};  // how long a model stays as it is after its last file was closed
  std::vector<std::string> skipped{};  // what is unknown, where OptionRules let it pass
};

// How strictly options are read.
struct OptionRules {
  bool rw_means_nothing = false;  // mount(8) says "rw" to every helper that was not told "ro"
  bool skip_unknown = false;      // its "-s"
};

// Reads the arguments of all `-o`, each a list separated by commas; a comma or backslash in a value
// has a backslash before it. Taken too are options that the mount has anyway (ro, nosuid, nodev,
// noexec, default_permissions), and those that speak to others: to mount(8), to systemd, or of what
// only a file system has that can be written to (defaults, user, x-systemd.automount, noatime).
// Throws CommandError with ExitStatus::usage that names the first option which is unknown, lacks
// its value, names a user or directory that is not there, or asks for what this file system does
// not do (rw, suid).
[[nodiscard]] MountOptions parse_mount_options(const std::vector<std::string>& arguments,
                                               OptionRules rules = {});

}  // namespace ollamafs
