#include "src/mount/fuse_access.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/mount/mounts.h"
#include "src/say/exit_status.h"

namespace ollamafs {
namespace {

constexpr const char* kFuseDevice = "/dev/fuse";

// Whether the kernel mounts for this process itself: libfuse tries that first, as root or not.
bool may_mount() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
  return ::syscall(SYS_capget, &header, sets) == 0 &&
         (sets[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) != 0;
}

}  // namespace

void require_fuse() {
  if (::euidaccess(kFuseDevice, R_OK | W_OK) == 0) {
    if (may_mount() || find_fusermount()) return;
    throw CommandError{
        "fusermount3, with which ordinary users mount, is missing: install the package fuse3; "
        "`sudo ollamafs mount` works without it"};
  }
  if (errno == ENOENT) {
    throw CommandError{
        "there is no /dev/fuse: load the kernel's module with `sudo modprobe fuse`, or start the "
        "container with --device /dev/fuse; `ollamafs list` works without it"};
  }
  throw CommandError{fmt::format(
      "/dev/fuse cannot be opened by this user: {}; `sudo chmod 0666 /dev/fuse` gives it the mode "
      "that it usually has, `sudo ollamafs mount` works without that",
      std::strerror(errno))};
}

}  // namespace ollamafs
