#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace ollamafs {

struct MountUser {
  long pid;
  std::string name;  // printable: "bash"
};

// Who keeps the mount at `path` busy, as far as /proc lets this user see, each process once, by its
// number. Goes by the names of what is open, mapped or worked in, and asks the
// mount itself nothing: its daemon may hang. What is seen through a bind mount has another name,
// and is not found.
[[nodiscard]] std::vector<MountUser> users_of_mount(const std::filesystem::path& path);

// "rsync (pid 812), bash (pid 97)", and after ten of them how many more; empty: nobody.
[[nodiscard]] std::string list_of(const std::vector<MountUser>& users);

}  // namespace ollamafs
