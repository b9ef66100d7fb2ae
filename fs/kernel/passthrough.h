#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "fs/kernel/backing.h"
#include "fs/tree/inode_number.h"
#include "store/base/file_identity.h"

namespace ollamafs {

// Who reads the blobs.
struct BlobAccess {
  enum class Way : std::uint8_t {
    untried,      // the kernel has passthrough; no blob was opened so far
    passthrough,  // the kernel reads them itself
    no_library,   // this daemon: libfuse is too old
    no_kernel,    // this daemon: the kernel is too old, or was built without
    refused,      // this daemon: the kernel refused to take a blob
    unwanted,     // this daemon: it must see what is read
  };
  Way way = Way::untried;
  int error = 0;  // errno of `refused`
};

// Which blob files the kernel reads by itself. It refuses to mix: while an inode is open by
// passthrough, all its opens must be, by the same backing id; while it is open through the cache,
// none may be. So the first open of an inode decides, and its last close frees the decision.
//
// The first refusal is the last: from then on no further inode is offered. That there is no memory
// or no descriptor is none. Safe to use from several threads.
class Passthrough {
 public:
  // `calls` may be nullptr: no passthrough, for the reason `without`. `on_refusal` is called once,
  // if ever, from any thread.
  Passthrough(const BackingCalls* calls, std::function<void(BlobAccess)> on_refusal,
              BlobAccess::Way without = BlobAccess::Way::no_library);

  // In the INIT request.
  void negotiate(fuse_conn_info& connection);

  // For each open of a blob's inode, before the reply: `file` is the blob's, `fd` a descriptor of
  // it, -1 if it has none. False if the inode is open by passthrough of another file, which was
  // replaced: it cannot be both. Else sets
  // `info` up for passthrough if that is the inode's way. The kernel keeps a reference of its own.
  // If it throws, nothing was opened.
  [[nodiscard]] bool open(fuse_req_t request, InodeNumber ino, const FileIdentity& file, int fd,
                          fuse_file_info& info);

  // For each open that has ended, before the reply.
  void release(fuse_req_t request, InodeNumber ino) noexcept;

  // For an open whose reply failed, which has ended the request: what it held is taken back with
  // the next one.
  void cancel(InodeNumber ino) noexcept;

  [[nodiscard]] BlobAccess access() const;

 private:
  static constexpr int kCached = 0;

  struct Inode {
    int id = kCached;   // of the backing file
    FileIdentity file;  // of the first open
    std::uint32_t opens = 0;
  };

  [[nodiscard]] int register_file(fuse_req_t request, int fd, bool& refused);
  void close_orphans(fuse_req_t request);

  const BackingCalls* calls_;
  std::function<void(BlobAccess)> on_refusal_;
  mutable std::mutex mutex_;
  BlobAccess access_;
  std::unordered_map<InodeNumber, Inode> inodes_;
  std::vector<int> orphans_;  // ids that no inode uses any more
};

}  // namespace ollamafs
