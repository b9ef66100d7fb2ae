#include "store/store_watch.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "store/digest.h"
#include "store/text.h"

namespace ollamafs {
namespace {

constexpr std::uint32_t kEvents = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY |
                                  IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                  IN_ONLYDIR | IN_EXCL_UNLINK;

// File systems on which others may write from elsewhere, of which inotify hears nothing (statfs(2);
// those that linux/magic.h lacks by their numbers).
bool is_remote(int directory) noexcept {
  constexpr std::uint64_t kRemote[] = {NFS_SUPER_MAGIC,
                                       V9FS_MAGIC,
                                       SMB_SUPER_MAGIC,
                                       CIFS_SUPER_MAGIC,
                                       SMB2_SUPER_MAGIC,
                                       CEPH_SUPER_MAGIC,
                                       CODA_SUPER_MAGIC,
                                       AFS_SUPER_MAGIC,
                                       AFS_FS_MAGIC,
                                       FUSE_SUPER_MAGIC,
                                       0x786f4256 /* vboxsf */,
                                       0xbacbacbc /* vmhgfs */,
                                       0x0bd00bd0 /* Lustre */,
                                       0x47504653 /* GPFS */,
                                       0x01161970 /* GFS2 */};
  struct statfs st {};
  return ::fstatfs(directory, &st) == 0 &&
         std::ranges::find(kRemote, static_cast<std::uint32_t>(st.f_type)) != std::end(kRemote);
}

}  // namespace

StoreWatch::StoreWatch() : inotify_{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)} {
  if (!inotify_) fail("inotify", errno);
}

void StoreWatch::fail(const std::string& what, int error) {
  cannot(error == ENOSPC ? "the limit of inotify watches (fs.inotify.max_user_watches) is reached"
                         : fmt::format("{}: {}", what, std::strerror(error)));
}

void StoreWatch::cannot(const std::string& reason) {
  if (!failure_) failure_ = reason;
}

void StoreWatch::begin() {
  if (inotify_) failure_.reset();
  for (auto& [id, watched] : watched_) watched.used = false;
}

void StoreWatch::end() {
  std::erase_if(watched_, [this](const auto& entry) {
    if (entry.second.used) return false;
    ::inotify_rm_watch(inotify_.get(), entry.first);
    return true;
  });
}

StoreWatch::Watched* StoreWatch::watch(const char* path) {
  if (!inotify_) return nullptr;
  const int id = ::inotify_add_watch(inotify_.get(), path, kEvents);
  if (id < 0) {
    // One that is not there, or may not be read, is for others to complain of.
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) fail(printable(path), errno);
    return nullptr;
  }
  Watched& watched = watched_[id];
  if (!watched.used) watched.names.clear();
  watched.used = true;
  return &watched;
}

void StoreWatch::add(int directory, Kind kind) {
  if (is_remote(directory)) cannot("it is on a network file system");
  const std::string path = "/proc/self/fd/" + std::to_string(directory);
  if (Watched* const watched = watch(path.c_str())) watched->kind = kind;
}

void StoreWatch::add_name(const std::filesystem::path& directory, const std::string& name) {
  if (Watched* const watched = watch(directory.c_str())) watched->names.insert(name);
}

bool StoreWatch::matters(int watch, std::uint32_t mask, std::string_view name) {
  if (mask & IN_Q_OVERFLOW) return true;
  const auto it = watched_.find(watch);
  if (it == watched_.end()) return false;
  if (mask & IN_IGNORED) {
    watched_.erase(it);
    return true;
  }
  const Watched& watched = it->second;
  // A directory may be watched for certain names as well as for what it holds.
  if (watched.names.contains(name)) return true;
  if (mask & (IN_DELETE_SELF | IN_MOVE_SELF)) return true;
  switch (watched.kind) {
    case Kind::manifests:
      return !name.empty() && !name.starts_with(".manifest-");
    case Kind::blobs:
      return Digest::parse(name).has_value();
    case Kind::names:
      break;
  }
  return false;
}

bool StoreWatch::has_changed() {
  bool changed = false;
  alignas(inotify_event) std::array<char, 64 << 10> buffer;
  for (;;) {
    const ssize_t size = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (size <= 0) return changed;
    for (const char* at = buffer.data(); at < buffer.data() + size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      changed |= matters(event->wd, event->mask, event->len > 0 ? event->name : "");
      at += sizeof(inotify_event) + event->len;
    }
  }
}

}  // namespace ollamafs
