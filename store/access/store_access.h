#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

namespace ollamafs {

// A directory on the way into a store that this process may not enter or list.
struct Barrier {
  std::filesystem::path directory;  // absolute, without symlinks
  mode_t mode;                      // its permission bits
  uid_t uid;
  gid_t gid;
  bool to_list;  // it must be listed too, a manifest tree; else entering it is enough
};

// The first directory, from the top of `store`'s real path down to its manifest trees and blobs/,
// that stops this process (its effective user and groups); nothing if the store can be read.
// Directories that do not exist stop nobody. Symlinks on the way are followed.
[[nodiscard]] std::optional<Barrier> find_barrier(const std::filesystem::path& store);

// What to tell a user whom `barrier` stops: which directory, its mode and owner, and the ways that
// work with these very modes (docs/view.md §6): joining the directory's group, if the group may
// pass or can be let pass, and root's: `as_root`, a whole command. Several printable lines; the
// commands in them can be pasted into a shell. `user` is the name of who runs this process.
//
// Nobody is told to join root's group. Whoever owns the directory, or is already in its group, is
// told what helps then.
[[nodiscard]] std::string explain(const Barrier& barrier, const std::string& user,
                                  const std::string& as_root);

}  // namespace ollamafs
