#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <set>
#include <utility>

#include "store/base/unique_fd.h"

namespace ollamafs {

// Files that processes have open or mapped right now, as far as this user may see: all of them for
// root. What somebody opens later is not among them.
class OpenFileList {
 public:
  // Looks at every process; this one does not count.
  [[nodiscard]] static OpenFileList read();

  [[nodiscard]] bool has(const struct stat& st) const;

 private:
  std::set<std::pair<std::uint64_t, std::uint64_t>> files_;  // device, inode
};

// Holds a regular file while nobody else has it open, by a lease of the kernel: that sees every
// process, also of other users and other containers. Who opens the file meanwhile waits until this
// is gone.
class ExclusiveHold {
 public:
  enum class State {
    held,     // nobody has it open
    in_use,   // somebody has
    unknown,  // the file system, or who this user is, allows no lease
  };

  // Of an open file; the descriptor must be readable, and outlive this.
  explicit ExclusiveHold(int fd) noexcept;
  ~ExclusiveHold();
  ExclusiveHold(const ExclusiveHold&) = delete;
  ExclusiveHold& operator=(const ExclusiveHold&) = delete;

  [[nodiscard]] State state() const noexcept { return state_; }

 private:
  int fd_;
  State state_;
};

}  // namespace ollamafs
