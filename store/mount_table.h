#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ollamafs {

// A line of /proc/self/mountinfo (proc(5)).
struct MountEntry {
  int id = 0;  // of two that are mounted at one time no two have the same
  std::string mountpoint;
  std::string type;    // "fuse.ollamafs"
  std::string source;  // of that type: the store
  dev_t device = 0;    // as st_dev below it; no two file systems have the same at one time

  bool operator==(const MountEntry&) const = default;
};

// Every line of the table, in its order: of mounts stacked at one place, the topmost comes last.
// Throws std::system_error if it cannot be read.
[[nodiscard]] std::vector<MountEntry> mount_table();

}  // namespace ollamafs
