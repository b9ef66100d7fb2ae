#include "src/mount/blob_access_note.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace ollamafs {
namespace {

std::string reason(const BlobAccess& access) {
  switch (access.way) {
    case BlobAccess::Way::no_library:
      return "faster by passthrough, with libfuse 3.17 and Linux 6.9, as root";
    case BlobAccess::Way::no_kernel:
      return "faster by passthrough, with Linux 6.9, as root";
    case BlobAccess::Way::unwanted:
      return "no passthrough, because they are verified";
    default:
      break;
  }
  switch (access.error) {
    case EPERM:
      return "faster by passthrough, as root: `sudo ollamafs mount`";
    case ELOOP:
      return "no passthrough, because the store lies on several stacked file systems";
    default:
      return fmt::format("no passthrough: {}", std::strerror(access.error));
  }
}

}  // namespace

std::string blob_access_note(const BlobAccess& access) {
  if (access.way == BlobAccess::Way::passthrough)
    return "the kernel reads the blobs itself (passthrough)";
  if (access.way == BlobAccess::Way::untried)
    return "whether the kernel reads blobs itself (passthrough) is tried with the first one";
  return fmt::format("blobs are read through this program ({})", reason(access));
}

}  // namespace ollamafs
