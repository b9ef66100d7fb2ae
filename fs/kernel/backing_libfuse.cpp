// For libfuse 3.17 and later, which have passthrough; CMakeLists.txt chooses.
#include <cerrno>

#include "fs/kernel/backing.h"

namespace ollamafs {
namespace {

bool negotiate(fuse_conn_info& connection) {
  if (!(connection.capable & FUSE_CAP_PASSTHROUGH)) return false;
  connection.want |= FUSE_CAP_PASSTHROUGH;
  // Blobs may lie on a file system that is stacked itself, as overlayfs in a container. What this
  // costs: no other file system can be stacked over the mount.
  connection.max_backing_stack_depth = FUSE_BACKING_STACKED_OVER;
  return true;
}

int open(fuse_req_t request, int fd) {
  errno = 0;
  return fuse_passthrough_open(request, fd);
}

void close(fuse_req_t request, int id) {
  fuse_passthrough_close(request, id);
}

void use(fuse_file_info& info, int id) {
  info.backing_id = id;
  info.keep_cache = 0;  // the two together make the open fail with EIO
}

constexpr BackingCalls kCalls{negotiate, open, close, use};

}  // namespace

const BackingCalls* backing_calls() noexcept {
  return &kCalls;
}

}  // namespace ollamafs
