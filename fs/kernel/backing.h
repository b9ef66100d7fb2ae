#pragma once

// Room fs/kernel: The connection to the kernel; the only room that knows libfuse.

#include "fs/kernel/fuse.h"

namespace ollamafs {

// The calls with which a file is given to the kernel to read it by itself (FUSE passthrough: Linux
// 6.9, Documentation/filesystems/fuse/fuse-passthrough.rst). As pointers, because a library may
// lack them, and so that a test can refuse them.
struct BackingCalls {
  // In the INIT request: asks for passthrough. False: the kernel does not have it.
  bool (*negotiate)(fuse_conn_info& connection);
  // Registers an open file. Returns its id, above 0, or 0 and leaves the reason in errno: EPERM
  // without CAP_SYS_ADMIN, ELOOP if too many file systems are stacked below the file.
  int (*open)(fuse_req_t request, int fd);
  // Takes the registration back; opens that use it go on.
  void (*close)(fuse_req_t request, int id);
  // Makes the reply to an OPEN request one by passthrough.
  void (*use)(fuse_file_info& info, int id);
};

// Those of the library that this is built with; nullptr where it has none (libfuse before 3.17).
[[nodiscard]] const BackingCalls* backing_calls() noexcept;

}  // namespace ollamafs
