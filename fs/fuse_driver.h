#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/file_system.h"
#include "fs/handle_set.h"

namespace ollamafs {

// What the operations work on: their session's userdata. Handles that are still open when the
// connection ends are closed with it.
struct Driver {
  explicit Driver(FileSystem& fs) noexcept : file_system{fs} {}

  FileSystem& file_system;
  HandleSet<OpenDirectory> directories;
  HandleSet<OpenFile> files;
};

// Answer the kernel's requests out of a Driver's FileSystem, over libfuse's low-level interface.
// The only part, with Session, that knows of libfuse. Every request is answered exactly once.
[[nodiscard]] const fuse_lowlevel_ops& fuse_operations() noexcept;

}  // namespace ollamafs
