#pragma once

// Room store/watch: Notices that a store has changed, and remembers what has not.

#include <sys/types.h>

#include <compare>
#include <string>
#include <vector>

namespace ollamafs {

// A line of /proc/self/mountinfo (proc(5)).
struct MountEntry {
  int id = 0;        // of two that are mounted at one time no two have the same
  dev_t device = 0;  // of the file system; of two file systems no two have the same at one time
  std::string root;  // the folder of that file system that is seen
  std::string mountpoint;
  std::string type;       // "fuse.ollamafs"
  std::string source;     // of that type: the store
  std::string options{};  // of the file system: "ro,user_id=0,group_id=0"

  auto operator<=>(const MountEntry&) const = default;
};

// The type of our own mounts.
constexpr const char* kMountType = "fuse.ollamafs";

constexpr const char* kMountTable = "/proc/self/mountinfo";

// Every line of the table, in its order: of mounts stacked at one place, the topmost comes last.
// From an open descriptor of it, or by opening it. Throws std::system_error if it cannot be read.
[[nodiscard]] std::vector<MountEntry> mount_table(int table);
[[nodiscard]] std::vector<MountEntry> mount_table();

}  // namespace ollamafs
