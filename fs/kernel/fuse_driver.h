#pragma once

#include <functional>
#include <utility>

#include "fs/kernel/fuse.h"
#include "fs/kernel/handle_set.h"
#include "fs/kernel/passthrough.h"
#include "fs/kernel/turns.h"
#include "fs/serve/file_system.h"

namespace ollamafs {

// What the operations work on: their session's userdata. Handles that are still open when the
// connection ends are closed with it.
struct Driver {
  Driver(FileSystem& fs, const BackingCalls* backing, std::function<void(BlobAccess)> on_refusal,
         BlobAccess::Way without_backing)
      : file_system{fs}, passthrough{backing, std::move(on_refusal), without_backing} {}

  FileSystem& file_system;
  bool kernel_opens_directories = false;  // after INIT: it can be left to it
  HandleSet<OpenFile> files;
  Passthrough passthrough;
  Turns verifications;  // of blobs whose last bytes are asked for; stops before the session ends
};

// Answer the kernel's requests out of a Driver's FileSystem, over libfuse's low-level interface.
// The only part, with Session, that knows of libfuse. Every request is answered exactly once.
[[nodiscard]] const fuse_lowlevel_ops& fuse_operations() noexcept;

}  // namespace ollamafs
