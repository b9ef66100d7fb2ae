#include "fs/kernel/passthrough.h"

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "store/folder/read_file.h"

namespace ollamafs {

using Way = BlobAccess::Way;

Passthrough::Passthrough(const BackingCalls* calls, std::function<void(BlobAccess)> on_refusal,
                         Way without)
    : calls_{calls}, on_refusal_{std::move(on_refusal)}, access_{calls ? Way::untried : without} {}

void Passthrough::negotiate(fuse_conn_info& connection) {
  const std::scoped_lock lock{mutex_};
  if (calls_ && !calls_->negotiate(connection)) access_.way = Way::no_kernel;
}

bool Passthrough::open(fuse_req_t request, InodeNumber ino, const FileIdentity& file, int fd,
                       fuse_file_info& info) {
  bool refused = false;
  {
    const std::scoped_lock lock{mutex_};
    close_orphans(request);
    orphans_.reserve(orphans_.size() + inodes_.size() + 1);  // so that cancel() cannot fail
    Inode& inode = inodes_[ino];
    if (inode.opens > 0 && inode.id != kCached && !same_file(inode.file, file)) return false;
    if (inode.opens++ == 0) {
      inode.file = file;
      inode.id = register_file(request, fd, refused);
    }
    if (inode.id != kCached) calls_->use(info, inode.id);
  }
  if (!refused) return true;
  try {
    on_refusal_(access());
  } catch (const std::bad_alloc&) {  // the file is open all the same
  }
  return true;
}

// Under the lock: of two opens of one inode the second must see what became of the first.
int Passthrough::register_file(fuse_req_t request, int fd, bool& refused) {
  if (fd < 0 || (access_.way != Way::untried && access_.way != Way::passthrough)) return kCached;
  const int id = calls_->open(request, fd);
  if (id > 0) {
    access_.way = Way::passthrough;
    return id;
  }
  if (is_shortage({errno, std::generic_category()})) return kCached;  // for this inode, this time
  access_ = {Way::refused, errno};
  refused = true;
  return kCached;
}

void Passthrough::release(fuse_req_t request, InodeNumber ino) noexcept {
  cancel(ino);
  const std::scoped_lock lock{mutex_};
  close_orphans(request);
}

void Passthrough::cancel(InodeNumber ino) noexcept {
  const std::scoped_lock lock{mutex_};
  const auto it = inodes_.find(ino);
  if (--it->second.opens > 0) return;
  if (it->second.id != kCached) orphans_.push_back(it->second.id);
  inodes_.erase(it);
}

void Passthrough::close_orphans(fuse_req_t request) {
  for (const int id : orphans_) calls_->close(request, id);
  orphans_.clear();
}

BlobAccess Passthrough::access() const {
  const std::scoped_lock lock{mutex_};
  return access_;
}

}  // namespace ollamafs
