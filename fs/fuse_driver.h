#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/file_system.h"

namespace ollamafs {

// Answers the kernel's requests out of a FileSystem, over libfuse's low-level interface. The only
// part, with Session, that knows of libfuse. Every request is answered exactly once.
//
// The operations take the FileSystem* from the session's userdata.
[[nodiscard]] const fuse_lowlevel_ops& fuse_operations() noexcept;

}  // namespace ollamafs
