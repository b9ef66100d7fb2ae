#pragma once

// Room store/base: What any part needs of the system: system calls, descriptors, file
// identities, text that is safe to print.

#include <dirent.h>

#include <memory>

namespace ollamafs {

struct CloseDir {
  void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};

// An open directory stream, closed with it.
using DirStream = std::unique_ptr<DIR, CloseDir>;

}  // namespace ollamafs
