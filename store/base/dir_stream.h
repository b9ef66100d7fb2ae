#pragma once

#include <dirent.h>

#include <memory>

namespace ollamafs {

struct CloseDir {
  void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};

// An open directory stream, closed with it.
using DirStream = std::unique_ptr<DIR, CloseDir>;

}  // namespace ollamafs
